package cli

import (
	"cmp"
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"aviso.example/internal/secret"
)

//go:embed exampleconfig.yaml
var exampleConfig string

func (a *app) configCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "config",
		Short: "Check, show and begin a configuration of the server",
		Long: `Work with the configuration that aviso serve reads: one YAML file, each key of
which can be set as an environment variable instead, such as AVISO_LISTEN or
AVISO_APPS_SHOP_KEY. The environment wins over the file, and flags over both.`,
		Example: `  aviso config init > aviso.yaml
  aviso config check aviso.yaml
  aviso config show aviso.yaml`,
	}, a.configCheckCommand(), a.configShowCommand(), a.configInitCommand())
}

func (a *app) configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say everything that is wrong with a configuration",
		Long: `Read a configuration and all files it names as aviso serve would, and say
everything that is wrong with it. Nothing is started, written or connected to.
Without a file it is the one that aviso serve would find, or the environment
alone. The exit code is 2 if anything is wrong.`,
		Example: `  aviso config check aviso.yaml
  AVISO_APPS_SHOP_KEY=AuthKey_ABC123DEFG.p8 AVISO_APPS_SHOP_TEAM=A1B2C3D4E5 aviso config check`,
		Args: atMostOneFile,
		RunE: func(_ *cobra.Command, args []string) error {
			source := a.configOf(args)
			source.strict = true
			c, err := a.loadConfig(source)
			if err != nil {
				return err
			}
			var ids []string
			for _, app := range c.engine.Apps {
				ids = append(ids, app.ID)
			}
			if a.json {
				return a.printJSON(struct {
					OK   bool     `json:"ok"`
					Apps []string `json:"apps"`
				}{true, ids})
			}
			a.printf("%s is in order: %s (%s), the API on %s, data in %s\n", cmp.Or(source.file, "the environment alone"), plural(int64(len(ids)), "app"), strings.Join(ids, ", "), c.listen, c.engine.Store.Dir)
			return nil
		},
	}
}

func (a *app) configShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show [FILE]",
		Short: "Show what holds, and where each value comes from",
		Long: `Show the value of every key that holds, and whether it comes from the file, the
environment or is the default. Passwords and API keys are hidden. What is wrong
is said as well, on standard error. Without a file it is the one that aviso serve
would find, or the environment alone.`,
		Example: `  aviso config show aviso.yaml
  AVISO_LISTEN=127.0.0.1:8080 aviso config show aviso.yaml --json`,
		Args: atMostOneFile,
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.loadConfig(a.configOf(args))
			if c == nil {
				return err
			}
			if showErr := a.showConfig(c); showErr != nil {
				return showErr
			}
			return err
		},
	}
}

// atMostOneFile is for commands about a configuration.
func atMostOneFile(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usage("%s takes one file at most, and there are %d", cmd.CommandPath(), len(args))
	}
	return nil
}

// configOf is the configuration that is named, or the one that a server would find.
func (a *app) configOf(args []string) configSource {
	file, optional := a.configFile(strings.Join(args, ""))
	return configSource{file: file, optional: optional}
}

func (a *app) configInitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Print a configuration with comments to begin with",
		Long: `Print a configuration that explains every key. With your own key file, team and
bundle identifier filled in, it passes aviso config check.`,
		Example: `  aviso config init > aviso.yaml`,
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			a.printf("%s", exampleConfig)
			return nil
		},
	}
}

// loadConfig reads a configuration in the environment of this process. With an
// error there may be what could be read all the same.
func (a *app) loadConfig(source configSource) (*serverConfig, error) {
	source.environ = a.environ
	c, warnings, err := loadConfig(source)
	for _, w := range warnings {
		a.warnf("%s", w)
	}
	return c, err
}

// hidden stands for what is never shown.
const hidden = "(hidden)"

// passwords finds users and passwords in URLs.
var passwords = regexp.MustCompile(`(^|[/,\s])[^/,@\s]+@`)

func (a *app) showConfig(c *serverConfig) error {
	type shown struct {
		Key    string `json:"key"`
		Value  any    `json:"value"`
		Origin string `json:"origin"`
	}
	var list []shown
	width := 0
	for _, name := range slices.Sorted(maps.Keys(c.settings)) {
		s := c.settings[name]
		value := s.value
		switch kind, _ := keyKind(name); {
		case kind == kindSecret:
			value = hidden
		case kind == kindURL:
			value = passwords.ReplaceAllString(fmt.Sprint(value), "${1}"+hidden+"@")
		case kind == kindPath:
			if path, ok := value.(string); ok && !filepath.IsAbs(path) {
				value = filepath.Join(s.dir, path)
			}
		}
		if secret.What(fmt.Sprint(value)) != "" {
			value = hidden // it is not where it belongs
		}
		list = append(list, shown{name, value, s.origin})
		width = max(width, len(name))
	}
	if a.json {
		return a.printJSON(list)
	}
	for _, s := range list {
		a.printf("%-*s  %v  %s\n", width, s.Key, s.Value, a.paint(a.stdout, dim, "("+s.Origin+")"))
	}
	return nil
}

// checkExposure refuses to serve other machines with an API key that nobody
// chose.
func (c *serverConfig) checkExposure() error {
	loopback, err := isLoopback(c.listen)
	if err != nil || loopback || c.apiKey != "" {
		return err
	}
	return usage("listen is %s, which other machines can reach, so an API key has to be chosen first: "+
		"make one with `openssl rand -hex 32 > api-key`, and name the file under api.key_file (%s), or set %s to the key itself",
		c.listen, keyVariable("api.key_file"), apiKeyVariable)
}

// configFile is the configuration to read: the one of --config, else of
// AVISO_CONFIG, else aviso.yaml in this folder if it is there.
func (a *app) configFile(flag string) (file string, optional bool) {
	switch variable := a.getenv(configVariable); {
	case flag != "":
		return flag, false
	case variable != "":
		return variable, false
	}
	if _, err := os.Stat(usualConfig); err != nil {
		return "", true
	}
	return usualConfig, true
}

const usualConfig = "aviso.yaml"
