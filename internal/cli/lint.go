package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"aviso.example/internal/message"
	"aviso.example/internal/proto"
	"aviso.example/payload"
)

// maxLintFile bounds what is read of a payload; the linter says what is too
// large for Apple long before that.
const maxLintFile = 1 << 20

type lintFlags struct {
	pushType, topic, expiration, environment string
	priority                                 int
	broadcast, critical, rules, strict       bool
}

func (a *app) lintCommand() *cobra.Command {
	f := &lintFlags{}
	cmd := &cobra.Command{
		Use:   "lint FILE",
		Short: "Report everything that is wrong with a payload",
		Long: `Report everything that is wrong with a payload, worst first: what APNs rejects,
what it accepts and the device then drops without a word, and what looks like a
mistake, each with the fix. FILE - is standard input. What is known besides, such
as the push type and the topic, switches on the rules about it.

The exit code is 3 if APNs would reject it, and with --strict if there is
anything to find fault with; else 0.`,
		Example: `  aviso lint push.json --push-type alert
  echo '{"aps":{}}' | aviso lint - --push-type background --priority 10 --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if f.rules && len(args) == 0 {
				return nil
			}
			return oneArgument("file (or - for standard input)")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.rules {
				return a.lintRules()
			}
			return a.lint(cmd.Flags(), f, args[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.pushType, "push-type", "", "the push `TYPE` it is for")
	flags.StringVar(&f.topic, "topic", "", "the whole `TOPIC`, with the suffix of the push type")
	flags.IntVar(&f.priority, "priority", 0, "the priority `N`: 10, 5 or 1")
	flags.StringVar(&f.expiration, "expiration", "", "`WHEN` it expires: 0, 1h, a time or UNIX seconds")
	flags.StringVar(&f.environment, "environment", "", "the `NAME` of the environment: sandbox or production")
	flags.BoolVar(&f.broadcast, "broadcast", false, "it goes to a channel")
	flags.BoolVar(&f.critical, "critical-alerts", false, "the app has the critical-alerts entitlement")
	flags.BoolVar(&f.strict, "strict", false, "exit with 3 for whatever is found, as for a check in CI")
	flags.BoolVar(&f.rules, "rules", false, "list all rules instead")
	return cmd
}

func (f *lintFlags) linter(flags *pflag.FlagSet) (payload.Linter, error) {
	l := payload.Linter{
		Topic: f.topic, Priority: payload.Priority(f.priority), Environment: payload.Environment(f.environment),
		Broadcast: f.broadcast, CriticalAlerts: f.critical, Now: time.Now(),
	}
	if f.environment != "" && f.environment != "sandbox" && f.environment != "production" {
		return l, usage("--environment has to be sandbox or production")
	}
	if flags.Changed("expiration") {
		e, err := message.ParseExpiration(f.expiration)
		if err != nil {
			return l, usage("--expiration %w", err)
		}
		at := e.Unix(l.Now)
		l.Expiration = &at
	}
	return l, nil
}

func (a *app) lint(flags *pflag.FlagSet, f *lintFlags, path string) error {
	l, err := f.linter(flags)
	if err != nil {
		return err
	}
	data, err := a.readFile(path, maxLintFile)
	if err != nil {
		return usage("%w", err)
	}
	// The line break that editors put at the end is not part of what is sent.
	data = []byte(strings.TrimRight(string(data), "\r\n"))
	limit := payload.MaxSize(proto.PushType(f.pushType))
	if f.broadcast {
		limit = payload.MaxBroadcast
	}
	findings := l.Lint(proto.PushType(f.pushType), data)
	rejected := len(findings) > 0 && findings[0].Severity == payload.Rejected
	if a.json {
		if findings == nil {
			findings = []payload.Finding{}
		}
		err = a.printJSON(struct {
			Bytes    int               `json:"bytes"`
			Limit    int               `json:"limit"`
			Rejected bool              `json:"rejected"`
			Findings []payload.Finding `json:"findings"`
		}{len(data), limit, rejected, findings})
	} else {
		a.printFindings(findings, len(data), limit)
	}
	if err == nil && (rejected || f.strict && len(findings) > 0) {
		err = exit(ExitRejected)
	}
	return err
}

func (a *app) printFindings(findings []payload.Finding, size, limit int) {
	for _, f := range findings {
		colour := map[payload.Severity]string{payload.Rejected: red, payload.Dropped: red, payload.Suspicious: yellow}[f.Severity]
		place := where(f)
		if f.Offset > 0 {
			place += fmt.Sprintf(" (byte %d)", f.Offset+1)
		}
		a.printf("%s %s: %s\n", a.paint(a.stdout, colour, fmt.Sprintf("%-10s", f.Severity)), place, f.Message)
		a.printf("%-10s fix: %s\n", "", f.Fix)
		a.printf("%-10s %s\n", "", a.paint(a.stdout, dim, fmt.Sprintf("%s, %s", f.Code, f.Source)))
	}
	if len(findings) == 0 {
		a.printf("%s\n", a.paint(a.stdout, green, "Nothing to find fault with."))
	}
	a.printf("%d of %d bytes\n", size, limit)
}

func (a *app) lintRules() error {
	rules := payload.Rules()
	if a.json {
		return a.printJSON(rules)
	}
	for _, r := range rules {
		a.printf("%-10s  %-30s  %s\n", r.Severity, r.Code, r.Summary)
	}
	return nil
}
