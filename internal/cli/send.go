package cli

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"aviso.example/apns"
	"aviso.example/internal/message"
	"aviso.example/payload"
)

type sendFlags struct {
	target
	identity
	messageFlags
	activityFlags
	batchFlags
	to            []string
	timeout       time.Duration
	resendUnknown bool
}

func (a *app) sendCommand() *cobra.Command {
	f := &sendFlags{}
	cmd := &cobra.Command{
		Use:   "send",
		Short: "Send one notification, or millions from a file",
		Long: `Send a notification to one or several devices and say what became of each.

Name the environment (--sandbox, --production, or --endpoint for the simulator),
the credential (--key with --team, or --cert), the app (--topic), the devices
(--to), and what to send: texts, or a whole --payload.

With --batch, notifications come from a file, or from standard input with -: one
JSON object on each line, with the keys "to" (the device token, required), then
"payload" (an object) or the parts "title", "subtitle", "body", "badge" (a number
or "clear"), "sound", "category", "thread_id", "interruption_level",
"mutable_content", "content_available" and "data" (an object), and "topic" or
"bundle_id", "push_type", "priority", "expiration", "collapse_id", "id". A first
line {"defaults":{…}} is for all lines; flags are defaults too, and weaker. A
line that is wrong is reported with its number, and the rest is sent. The batch
stops by itself when no connection can be had, or when the first 1,000 answers
all say that the configuration is wrong.

A Live Activity is started, updated or ended with --event and --content-state,
and --title, --body and --sound as its alert; a start goes to the push-to-start
device token with --attributes-type and --attributes. An update without an alert
has priority 5, which costs no budget, and the rest 10, unless --priority says
otherwise. For channels see aviso channel.

--failures gets every line that was not accepted, with the reason, and can itself
be given to --batch. --resume keeps a state file, with which the same command
goes on after an interruption, even kill -9: a line whose outcome was known is
never sent again; of those on their way at that moment, at most 2,048, some may
be sent twice. Lines that were not sent stay open for the next run and are then
not in --failures. Ctrl-C stops reading and waits up to 15 seconds for outcomes.`,
		Example: `  aviso send --sandbox --key AuthKey_ABC123DEFG.p8 --team A1B2C3D4E5 --topic com.example.app \
      --to 740f4707… --title Hello --body World --sound default
  aviso send --sandbox --key AuthKey_ABC123DEFG.p8 --team A1B2C3D4E5 --topic com.example.app \
      --batch pushes.ndjson --failures failed.ndjson --resume state --rate 5000
  aviso send --sandbox --key AuthKey_ABC123DEFG.p8 --team A1B2C3D4E5 --topic com.example.app \
      --to 80f0a1… --push-type liveactivity --event update --content-state state.json --priority 5
  aviso send --production --cert push.p12 --password-file password.txt --to 740f4707… --payload push.json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.send(cmd, f) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.target.register(flags)
	f.identity.register(flags)
	flags.StringArrayVar(&f.to, "to", nil, "`DEVICE_TOKEN` to send to, hexadecimal (repeatable)")
	f.messageFlags.register(flags)
	f.activityFlags.register(flags, true)
	f.registerID(flags)
	f.batchFlags.register(flags)
	flags.DurationVar(&f.timeout, "timeout", 0, "give up on a notification after this `TIME`, resends included (default 1m0s)")
	flags.BoolVar(&f.resendUnknown, "resend-unknown", false, "send again what got no answer, at the risk of duplicates")
	return cmd
}

// config gathers everything that makes a client.
func (f *sendFlags) config(a *app, cmd *cobra.Command) (apns.Config, error) {
	var cfg apns.Config
	err := allWrong(f.target.apply(cmd.Flags(), &cfg), f.identity.apply(a, &cfg), checkTimeout(cmd.Flags(), f.timeout))
	if err != nil {
		return cfg, err
	}
	cfg.Timeout, cfg.ResendUnknown = f.timeout, f.resendUnknown
	if a.verbose > 0 { // without it, the verdict says the same
		cfg.Logger = a.logger()
	}
	return cfg, nil
}

func checkTimeout(flags *pflag.FlagSet, timeout time.Duration) error {
	if flags.Changed("timeout") && timeout <= 0 {
		return usage("--timeout is %v; it has to be a time like 30s", timeout)
	}
	return nil
}

// newClient makes a client; its complaints speak of flags.
func newClient(cfg apns.Config) (*apns.Client, error) {
	client, err := apns.New(cfg)
	if err != nil {
		return nil, usage("%s", configWords.Replace(err.Error()))
	}
	return client, nil
}

// closeClient lets connections say goodbye.
func closeClient(client *apns.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	client.Close(ctx)
}

// defaultTopic takes the topic from the certificate where none is named.
func defaultTopic(m *message.Message, cfg *apns.Config) {
	if m.Topic == "" && cfg.Certificate != nil {
		m.Topic = cfg.Certificate.Info.DefaultTopic()
	}
}

// checkTo looks at the device tokens of a command that sends no batch.
func (f *sendFlags) checkTo() error {
	switch {
	case len(f.to) == 0:
		return usage("--to is missing: the device token to send to, as the app received it")
	case len(f.to) > 1 && f.id != "":
		return usage("--id names one notification, but there are %d device tokens", len(f.to))
	}
	return nil
}

func (a *app) send(cmd *cobra.Command, f *sendFlags) error {
	cfg, err := f.config(a, cmd)
	m, messageErr := f.message(a, cmd.Flags())
	if messageErr == nil {
		messageErr = f.activityFlags.apply(a, cmd.Flags(), m, false)
	}
	wrong := []error{err, messageErr, f.batchFlags.check(cmd.Flags())}
	var body []byte
	if f.batch == "" {
		wrong = append(wrong, f.checkTo())
		if messageErr == nil {
			if body, err = m.AppendPayload(nil, flagName); err != nil {
				wrong = append(wrong, usage("%w", err))
			}
		}
	}
	if err := allWrong(wrong...); err != nil {
		return err
	}
	defaultTopic(m, &cfg)
	if f.batch != "" {
		return a.sendBatch(cmd, f, cfg, m)
	}
	now := time.Now()
	list := make([]*apns.Notification, len(f.to))
	for i, to := range f.to {
		n := new(apns.Notification)
		m.Fill(n, now)
		n.DeviceToken, n.Payload, n.Tag = to, body, i
		list[i] = n
	}
	client, err := newClient(cfg)
	if err != nil {
		return err
	}
	defer closeClient(client)
	a.warn(list[0])

	// Outcomes come in any order; people expect the one they wrote.
	verdicts := make([]verdict, len(list))
	for r := range client.PushAll(cmd.Context(), slices.Values(list)) {
		verdicts[r.Notification.Tag.(int)] = newVerdict(r.Notification, r.Receipt, r.Err, flagWords)
	}
	code := 0
	for i, v := range verdicts {
		if v.Outcome == 0 { // interrupted before it was read
			v = newVerdict(list[i], apns.Receipt{}, &apns.NotSentError{Cause: context.Cause(cmd.Context())}, flagWords)
		}
		code = max(code, v.exitCode())
		if a.json {
			if err := a.printJSON(v); err != nil {
				return err
			}
			continue
		}
		a.printVerdict(v)
	}
	return exit(code)
}

// warn says what APNs would take and the device then drop. It is advice, and
// stops nothing.
func (a *app) warn(n *apns.Notification) {
	a.advise(payload.Linter{Topic: n.Topic, Priority: n.Priority, Now: time.Now()}, n.EffectivePushType(""), n.Payload)
}

func (a *app) advise(linter payload.Linter, pushType apns.PushType, body []byte) {
	for _, finding := range linter.Lint(pushType, body) {
		if finding.Severity != payload.Rejected {
			a.warnf("%s: %s; %s [%s]", where(finding), finding.Message, finding.Fix, finding.Code)
		}
	}
}

// where names the place of a finding.
func where(f payload.Finding) string {
	if f.Path == "" {
		return "payload"
	}
	return f.Path
}
