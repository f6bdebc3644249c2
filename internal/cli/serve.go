package cli

import (
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"aviso.example/internal/api"
)

type serveFlags struct {
	config                    string
	data, listen, nats, grace string
}

func (a *app) serveCommand() *cobra.Command {
	f := &serveFlags{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the push server: what it accepts is on disk and gets a verdict",
		Long: `Run a server that takes notifications over HTTP, keeps them on disk until APNs
has said what becomes of each, and answers what became of them. Whatever happens
to the process or the machine, nothing that was accepted is lost.

Everything is said in one YAML file, which aviso config init begins and aviso
config check checks. Without --config it is the file named in AVISO_CONFIG, or
aviso.yaml in this folder, or the environment alone. When it is ready, it prints
one line:

  ready api http://127.0.0.1:2199

and logs to standard error, with --json as JSON. The API key that clients need is
in the file api-key in the data folder, unless you choose one; to serve other
machines you have to.

Changes of apps, keys and certificates are taken over at once, or on SIGHUP, and
only if all of them are in order. SIGTERM or SIGINT ends it: /readyz says so,
nothing new is taken, what is under way gets --grace, and the rest stays on disk
for the next start. A second signal ends it at once, and still nothing is lost.`,
		Example: `  aviso config init > aviso.yaml
  aviso serve --config aviso.yaml
  aviso serve --config aviso.yaml --listen 127.0.0.1:0 --data /var/lib/aviso`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "read the configuration in this YAML `FILE`")
	flags.StringVar(&f.data, "data", "", "keep everything in `DIR` (default aviso-data beside the configuration)")
	flags.StringVar(&f.listen, "listen", "", "serve the API on `HOST:PORT` (default "+defaultServer+")")
	flags.StringVar(&f.nats, "nats", "", "keep the log on the NATS cluster at these `URLS`, separated by commas")
	flags.StringVar(&f.grace, "grace", "", "`TIME` for what is under way when the server stops (default 15s)")
	return cmd
}

// flagKeys are the keys that flags of serve stand for.
var flagKeys = map[string]string{"data": "data", "listen": "listen", "nats": "nats.urls", "grace": "grace"}

// serverLogger logs what an operator wants to know, with the date.
func (a *app) serverLogger() *slog.Logger {
	level := slog.LevelInfo - slog.Level(4*a.verbose)
	if a.json {
		a.log = slog.New(slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: level, ReplaceAttr: hideSecrets}))
	} else {
		a.log = slog.New(tint.NewTextHandler(a.stderr, &tint.Options{
			Level: level, TimeFormat: "2006-01-02 15:04:05.000", NoColor: !a.colourful(a.stderr), ReplaceAttr: hideSecrets,
		}))
	}
	return a.log
}

// configSource says where the configuration of a server comes from: a file, the
// environment, and the flags that stand for keys.
func (a *app) configSource(cmd *cobra.Command, file string, keys map[string]string) configSource {
	source := configSource{flags: map[string]flagValue{}}
	source.file, source.optional = a.configFile(file)
	for name, key := range keys {
		if flag := cmd.Flags().Lookup(name); flag.Changed {
			source.flags[key] = flagValue{"--" + name, flag.Value.String()}
		}
	}
	return source
}

func (a *app) serve(cmd *cobra.Command, f *serveFlags) (err error) {
	source := a.configSource(cmd, f.config, flagKeys)
	log := a.serverLogger()
	// From here on SIGHUP must not end the process.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	r, err := newReloader(cmd.Context(), func() (*serverConfig, error) { return a.loadConfig(source) }, log)
	if err != nil && cmd.Context().Err() != nil {
		return nil // asked to stop before it had begun
	}
	if err != nil {
		return err
	}
	defer r.close()
	c := r.current
	if err := c.checkExposure(); err != nil {
		return err
	}
	if a.getenv("GOMEMLIMIT") == "" && c.memoryLimit > 0 {
		debug.SetMemoryLimit(c.memoryLimit)
	}
	log.Info("the log is being opened", "folder", c.engine.Store.Dir)
	s, err := startServer(cmd.Context(), c.engine, serverOptions{name: "listen", listen: c.listen, key: func() (string, error) { return apiKeyOf(c, log) }, log: log})
	if err != nil {
		if cmd.Context().Err() != nil {
			return nil // asked to stop before it had begun
		}
		return err
	}
	r.apply = func(c *serverConfig) error { return s.engine.SetApps(c.engine.Apps) }
	log.Info("serving", "api", s.url, "apps", len(c.engine.Apps))
	a.ready("api", s.url)
	a.tellSystemd(log, "READY=1", "STATUS=serving "+s.url)
	err = r.attend(cmd.Context(), hup, s.failure(cmd.Context()))
	a.tellSystemd(log, "STOPPING=1")
	log.Info("stopping", "grace", c.grace)
	s.stop(c.grace)
	if err == nil {
		log.Info("stopped; what has no verdict is on disk and goes on at the next start")
	}
	return err
}

// apiKeyOf returns the API key that was chosen, or the one of the data folder.
func apiKeyOf(c *serverConfig, log *slog.Logger) (string, error) {
	defer warnOfOthers(c.engine.Store.Dir, log) // of the folder too, whichever key it is
	if c.apiKey != "" {
		return c.apiKey, nil
	}
	key, path, made, err := ownAPIKey(c.engine.Store.Dir, api.GenerateKey)
	if err == nil && made {
		log.Info("an API key was made", "file", path)
	} else if err == nil {
		log.Info("the API key is in a file", "file", path)
	}
	return key, err
}

func (a *app) tellSystemd(log *slog.Logger, states ...string) {
	if err := a.notifySystemd(states...); err != nil {
		log.Warn("systemd cannot be told", "error", err)
	}
}
