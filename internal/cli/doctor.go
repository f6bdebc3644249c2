package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aviso.example/apns"
	"aviso.example/internal/message"
)

// doctorTimeout bounds each check.
const doctorTimeout = 10 * time.Second

// checkStatus is how a check ended.
type checkStatus string

const (
	checkOK   checkStatus = "ok"
	checkWarn checkStatus = "warn"
	checkFail checkStatus = "fail"
	checkSkip checkStatus = "skip"
)

// check is one line of the doctor.
type check struct {
	Name   string      `json:"name"`
	Status checkStatus `json:"status"`
	// Detail says what was found, Fix what to do about it.
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// doctor runs checks from the ground up: each needs the ones before it.
type doctor struct {
	app   *app
	flags *doctorFlags
	cfg   apns.Config
	host  string
	port  string

	checks []check
	// unreachable says that no push can get through, rejected that one was
	// refused, or would be.
	unreachable, rejected bool
	credential            string // "" if there is one, else why it is not tried
}

type doctorFlags struct {
	target
	identity
	topic, pushType string
}

func (a *app) doctorCommand() *cobra.Command {
	f := &doctorFlags{}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check everything between this machine and APNs",
		Long: `Check, from the ground up: name resolution, ports 443 and 2197, TLS, HTTP/2, the
clock, the credential, and the topic, each with its fix. The last two are tried
with a push to a device token that does not exist: if APNs answers that the
device token is bad, it has found the credential and the topic good. No device
gets anything. Without a credential, those two are left out.

The exit code is 4 if APNs cannot be reached, 3 if it refuses the credential or
the topic.`,
		Example: `  aviso doctor --sandbox
  aviso doctor --production --key AuthKey_ABC123DEFG.p8 --team A1B2C3D4E5 --topic com.example.app
  aviso doctor --endpoint 127.0.0.1:2197 --ca ca.pem --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd, f) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.target.register(flags)
	f.identity.register(flags)
	flags.StringVar(&f.topic, "topic", "", "bundle `ID` of the app, or a whole topic with the suffix of its push type")
	flags.StringVar(&f.pushType, "push-type", "", "push `TYPE` to try the topic with (default alert)")
	return cmd
}

func (a *app) doctor(cmd *cobra.Command, f *doctorFlags) error {
	d := &doctor{app: a, flags: f}
	if err := f.target.apply(cmd.Flags(), &d.cfg); err != nil {
		return err
	}
	if f.pushType != "" {
		if _, err := message.ParsePushType(f.pushType); err != nil {
			return usage("--push-type %w", err)
		}
	}
	if err := d.address(); err != nil {
		return err
	}
	ctx := cmd.Context()
	for _, step := range []func(context.Context){d.loadCredential, d.checkNames, d.checkPorts, d.checkTLS, d.checkPush} {
		if ctx.Err() != nil {
			return &exitError{ExitUnreachable, fmt.Errorf("interrupted")}
		}
		step(ctx)
	}
	code := ExitOK
	switch {
	case d.unreachable:
		code = ExitUnreachable
	case d.rejected:
		code = ExitRejected
	}
	if a.json {
		if err := a.printJSON(struct {
			Endpoint string  `json:"endpoint"`
			OK       bool    `json:"ok"`
			Checks   []check `json:"checks"`
		}{d.host + ":" + d.port, code == ExitOK, d.checks}); err != nil {
			return err
		}
	}
	return exit(code)
}

// add notes a check, and prints it at once: some take seconds.
func (d *doctor) add(name string, status checkStatus, detail, fix string) {
	detail, fix = oneLine(detail), strings.TrimSuffix(fix, ".")
	d.checks = append(d.checks, check{name, status, detail, fix})
	if d.app.json {
		return
	}
	colour := map[checkStatus]string{checkOK: green, checkWarn: yellow, checkFail: red, checkSkip: dim}[status]
	d.app.printf("%s %-11s %s\n", d.app.paint(d.app.stdout, colour, fmt.Sprintf("%-5s", status)), name, detail)
	if fix != "" {
		d.app.printf("%-17s fix: %s\n", "", fix)
	}
}
