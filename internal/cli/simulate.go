package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aviso.example/auth"
	"aviso.example/sim"
)

// The ports of the simulator: 2197 is Apple's own alternative port, and the next
// one is easy to remember with it. Nothing else is registered for them.
const (
	defaultListen = "127.0.0.1:2197"
	defaultAPI    = "127.0.0.1:2198"
)

type simulateFlags struct {
	listen, api, caOut            string
	binary, feedback              string
	allowRemote, trustAnyKey      bool
	key, keyID, team, environment string
	topics, hosts, also           []string
	noBroadcast                   []string
	channelLimit                  int
	maxStreams                    uint32
	lean, knownOnly               bool
	roundTrip                     time.Duration
	seed                          uint64
	guesses                       []string
}

func (a *app) simulateCommand() *cobra.Command {
	f := &simulateFlags{}
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Run an APNs simulator",
		Long: `Run a server that checks requests as APNs does and misbehaves on demand.

It prints one line per address when it is ready, and nothing else, so that a
script can wait for it:

  ready apns 127.0.0.1:2197
  ready api http://127.0.0.1:2198

With --binary and --feedback it also serves the two ports of the binary protocol
that Apple switched off in 2021, and prints "ready binary" and "ready feedback"
with their addresses; 127.0.0.1:2195 and :2196 would be Apple's port numbers.
Clients need a certificate there, whose subject names the app (UID).

The test API below /sim/v1/ lists the pushes that came, waits for one, and
scripts devices and faults. It asks nobody who they are, so it stays on loopback.
Channels are created at, and broadcasts sent to, the same address as pushes.
Port 0 takes a free port. SIGINT or SIGTERM ends the simulator.`,
		Example: `  aviso simulate --ca-out ca.pem --trust-any-key
  aviso simulate --ca-out ca.pem --key AuthKey_ABC123DEFG.p8 --team A1B2C3D4E5 --topic com.example.app
  curl -s 'http://127.0.0.1:2198/sim/v1/pushes?wait=5s'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.simulate(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", defaultListen, "serve APNs on `HOST:PORT`")
	flags.StringVar(&f.api, "api", defaultAPI, "serve the test API on `HOST:PORT`; empty for none")
	flags.BoolVar(&f.allowRemote, "allow-remote-api", false, "let --api be reached from other machines, by anybody")
	flags.StringVar(&f.caOut, "ca-out", "", "write the certificate that clients have to trust to `FILE`, in PEM")
	flags.BoolVar(&f.trustAnyKey, "trust-any-key", false, "accept provider tokens of any signing key without verifying the signature")
	flags.StringVar(&f.key, "key", "", "accept provider tokens of the signing key (.p8) or public key (PEM) in `FILE`")
	flags.StringVar(&f.keyID, "key-id", "", "`ID` of --key; by default from the file name AuthKey_<ID>.p8")
	flags.StringVar(&f.team, "team", "", "`ID` of the team that provider tokens have to name")
	flags.StringArrayVar(&f.topics, "topic", nil, "accept this bundle `ID` only, with any suffix of a push type (repeatable; default any)")
	flags.StringVar(&f.environment, "environment", "sandbox", "be the `NAME` sandbox or production")
	flags.Uint32Var(&f.maxStreams, "max-streams", 0, "allow `N` requests at once on a connection (default 1000)")
	flags.BoolVar(&f.lean, "lean", false, "record nothing, for benchmarks; all checks stay")
	flags.BoolVar(&f.knownOnly, "known-devices-only", false, "answer BadDeviceToken for devices that the test API did not add")
	flags.DurationVar(&f.roundTrip, "round-trip", 0, "delay answers as if the network had this round-trip `TIME`, such as 50ms")
	flags.StringArrayVar(&f.also, "also-listen", nil, "serve APNs on this `HOST:PORT` too, such as 127.0.0.1:2195 where channels are managed at Apple (repeatable)")
	flags.StringVar(&f.binary, "binary", "", "serve the binary protocol of 2009 to 2021 on `HOST:PORT` (default off)")
	flags.StringVar(&f.feedback, "feedback", "", "serve the feedback service of the binary protocol on `HOST:PORT` (default off)")
	flags.IntVar(&f.channelLimit, "channel-limit", 0, "let an app have `N` broadcast channels (default 10000)")
	flags.StringArrayVar(&f.noBroadcast, "no-broadcast", nil, "answer FeatureNotEnabled for channels of the app with this bundle `ID` (repeatable)")
	flags.StringArrayVar(&f.hosts, "host", nil, "put this `NAME` or address into the certificate too (repeatable)")
	flags.StringArrayVar(&f.guesses, "guess", nil, "where nobody knows what APNs does, choose `NAME` or NAME=VALUE, such as refuse_der (repeatable, or with commas in "+guessesVariable+"; \"list\" names all)")
	flags.Uint64Var(&f.seed, "seed", 0, "make ids and random faults repeatable with this `NUMBER`")
	return cmd
}

// guessesVariable may hold what --guess would, with commas between.
const guessesVariable = "AVISO_SIMULATE_GUESSES"

// chooseGuesses reads --guess, and the variable before it.
func (f *simulateFlags) chooseGuesses(a *app, cfg *sim.Config) error {
	choices := f.guesses
	where := "--guess"
	if text := a.getenv(guessesVariable); text != "" && len(choices) == 0 {
		choices, where = strings.Split(text, ","), guessesVariable
	}
	for _, choice := range choices {
		name, value, _ := strings.Cut(strings.TrimSpace(choice), "=")
		if err := cfg.Guesses.Set(name, value); err != nil {
			return usage("%s: %w", where, err)
		}
	}
	return nil
}

func (f *simulateFlags) config() (sim.Config, error) {
	cfg := sim.Config{
		Environment: sim.Environment(f.environment), TeamID: f.team, TrustAnyKey: f.trustAnyKey,
		Topics: f.topics, Hosts: f.hosts, MaxStreams: f.maxStreams, Lean: f.lean,
		KnownDevicesOnly: f.knownOnly, ChannelLimit: f.channelLimit, NoBroadcast: f.noBroadcast, RoundTrip: f.roundTrip, Seed: f.seed,
	}
	if f.environment != "sandbox" && f.environment != "production" {
		return cfg, usage("--environment has to be sandbox or production")
	}
	if f.channelLimit < 0 {
		return cfg, usage("--channel-limit cannot be negative")
	}
	if f.roundTrip < 0 {
		return cfg, usage("--round-trip cannot be negative")
	}
	if f.team != "" {
		if err := auth.ValidateTeamID(f.team); err != nil {
			return cfg, usage("--team: %s", inputProblem(err))
		}
	}
	for _, l := range []struct{ flag, address string }{{"--listen", f.listen}, {"--binary", f.binary}, {"--feedback", f.feedback}} {
		if l.address == "" && l.flag != "--listen" {
			continue
		}
		host, _, err := net.SplitHostPort(l.address)
		if err != nil {
			return cfg, usage("%s has to be HOST:PORT: %w", l.flag, err)
		}
		if host != "" && !net.ParseIP(host).IsUnspecified() && !slices.Contains(cfg.Hosts, host) {
			cfg.Hosts = append(cfg.Hosts, host)
		}
	}
	switch {
	case f.key != "":
		if f.team == "" {
			return cfg, usage("--team is missing: a provider token of --key is accepted only with the id of its team")
		}
		public, id, err := loadPublicKey(f.key, f.keyID)
		if err != nil {
			return cfg, usage("--key: %w", trimmed{err})
		}
		cfg.Keys = []sim.Key{{KeyID: id, TeamID: f.team, Public: public}}
	case f.keyID != "":
		return cfg, usage("--key-id belongs to --key, which is missing")
	}
	if f.api != "" {
		loopback, err := isLoopback(f.api)
		switch {
		case err != nil:
			return cfg, usage("--api has to be HOST:PORT: %w", err)
		case !loopback && !f.allowRemote:
			return cfg, usage("--api %s can be reached from other machines, and the test API asks nobody who they are; use 127.0.0.1, or add --allow-remote-api", f.api)
		}
	}
	return cfg, nil
}

func (a *app) simulate(ctx context.Context, f *simulateFlags) error {
	cfg, err := f.config()
	if err != nil {
		return err
	}
	if slices.Equal(f.guesses, []string{"list"}) {
		for _, name := range sim.GuessNames() {
			a.printf("%s\n", name)
		}
		return nil
	}
	if err := f.chooseGuesses(a, &cfg); err != nil {
		return err
	}
	cfg.Logger = a.logger()
	if len(cfg.Keys) == 0 && !cfg.TrustAnyKey {
		a.warnf("no signing key is known, so every provider token will be refused; give --key with --team, or --trust-any-key")
	}
	s, err := startSimulator(cfg, f.listen, f.api, false)
	if err != nil {
		return err
	}
	defer s.stop()
	also := make([]string, len(f.also))
	for i, address := range f.also {
		if also[i], err = s.server.Start(address); err != nil {
			return fmt.Errorf("--also-listen: %w", portHint(err))
		}
	}
	old, err := f.startBinary(s.server)
	if err != nil {
		return err
	}
	if f.caOut != "" {
		// It is a certificate without its key: anybody may read it.
		if err := os.WriteFile(f.caOut, s.server.CAPEM(), 0o644); err != nil {
			return usage("--ca-out: %w", err)
		}
	}
	a.ready("apns", s.apns)
	if s.api != "" {
		a.ready("api", s.api)
	}
	for _, address := range also {
		a.ready("also", address)
	}
	for _, port := range old {
		a.ready(port.what, port.address)
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.served:
		s.served <- err // stop waits for it too
		return err
	}
}

// port is one that was opened on request.
type port struct{ what, address string }

// startBinary opens the ports of the binary protocol that were asked for.
func (f *simulateFlags) startBinary(server *sim.Server) (open []port, err error) {
	for _, p := range []struct {
		what, address string
		start         func(string) (string, error)
	}{{"binary", f.binary, server.StartBinary}, {"feedback", f.feedback, server.StartFeedback}} {
		if p.address == "" {
			continue
		}
		got, err := p.start(p.address)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", p.what, portHint(err))
		}
		open = append(open, port{p.what, got})
	}
	return open, nil
}

// ready prints the line that scripts wait for.
func (a *app) ready(what, address string) {
	if a.json {
		a.printJSON(struct {
			Ready   string `json:"ready"`
			Address string `json:"address"`
		}{what, address})
		return
	}
	a.printf("ready %s %s\n", what, address)
}
