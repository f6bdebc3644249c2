package cli

import (
	"cmp"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"aviso.example/apns"
	"aviso.example/internal/message"
	"aviso.example/payload"
)

type channelSendFlags struct {
	target
	identity
	activityFlags
	messageFlags
	secondHost    bool
	timeout       time.Duration
	resendUnknown bool
}

func (a *app) channelSendCommand() *cobra.Command {
	f := &channelSendFlags{}
	cmd := &cobra.Command{
		Use:   "send CHANNEL_ID",
		Short: "Send an update or the end of a Live Activity to a channel",
		Long: `Send an update or the end of a Live Activity to every device that listens to a
channel, and say what became of it.

The state is the JSON object of --content-state; --title, --body and --sound
light the screen with it. --payload sends a whole payload instead, of at most
5120 bytes. Priority 5 costs no budget; it is the default of an update without an
alert and of --payload, and 10 is that of the rest. Devices keep the newest
timestamp, which has whole seconds: of two states sent within one second, the
second may be ignored.

--expiration is 0 by default, which every channel takes; a channel with policy
latest keeps the message until then, for eight hours at most.`,
		Example: `  aviso channel send dHN0LXNyY2gtY2hubA== --sandbox --key AuthKey_ABC123DEFG.p8 --team A1B2C3D4E5 \
      --topic com.example.app --event update --content-state state.json --title Goal --body 2-1
  aviso channel send dHN0LXNyY2gtY2hubA== --sandbox --key AuthKey_ABC123DEFG.p8 --team A1B2C3D4E5 \
      --topic com.example.app --event end --content-state final.json --dismissal-date 1h`,
		Args: oneArgument("channel id"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.channelSend(cmd, f, args[0]) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.target.register(flags)
	flags.BoolVar(&f.secondHost, "second-host", false, "use Apple's second name for broadcasts, api-broadcast.push.apple.com and the like")
	f.identity.register(flags)
	f.activityFlags.register(flags, false)
	f.messageFlags.registerActivity(flags)
	f.registerID(flags)
	flags.DurationVar(&f.timeout, "timeout", 0, "give up after this `TIME`, resends included (default 1m0s)")
	flags.BoolVar(&f.resendUnknown, "resend-unknown", false, "send again what got no answer; devices ignore a state they have seen")
	return cmd
}

// registerActivity registers what can be said about a Live Activity, of the flags
// of other notifications.
func (f *messageFlags) registerActivity(flags *pflag.FlagSet) {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.register(all)
	for _, name := range []string{"title", "body", "sound", "payload", "topic", "priority", "expiration"} {
		flags.AddFlag(all.Lookup(name))
	}
	flags.Lookup("topic").Usage = "bundle `ID` of the app, without a suffix"
	flags.Lookup("priority").Usage = "`N`: 10 at once, 5 mind the power (default: 10 for an end or with an alert, else 5)"
	flags.Lookup("expiration").Usage = "store it until `WHEN`: 0 (not at all, the default), 1h or UNIX seconds"
}

func (a *app) channelSend(cmd *cobra.Command, f *channelSendFlags, channelID string) error {
	flags := cmd.Flags()
	send := sendFlags{target: f.target, identity: f.identity, timeout: f.timeout, resendUnknown: f.resendUnknown}
	cfg, err := send.config(a, cmd)
	if err != nil {
		return err
	}
	if f.secondHost {
		if f.endpoint != "" || flags.Changed("port") {
			return usage("--second-host is a name of Apple's, so it goes with neither --endpoint nor --port")
		}
		cfg.Host = apns.HostBroadcast
	}
	m, err := f.message(a, flags)
	if err != nil {
		return err
	}
	defaultTopic(m, &cfg)
	if err := f.apply(a, flags, m); err != nil {
		return err
	}
	n := &apns.Notification{
		ChannelID: channelID, BundleID: m.Topic, PushType: apns.PushTypeLiveActivity, ID: m.ID,
		Payload: m.Payload, Priority: cmp.Or(m.Priority, apns.PriorityConserve), Expiration: m.Expiration.Value(time.Now()),
	}
	if m.Given&message.FieldExpiration == 0 {
		n.Expiration = apns.ExpireImmediately
	}
	client, err := newClient(cfg)
	if err != nil {
		return err
	}
	defer closeClient(client)
	a.advise(payload.Linter{Priority: n.Priority, Broadcast: true, Now: time.Now()}, apns.PushTypeLiveActivity, n.Payload)
	receipt, err := client.Push(cmd.Context(), n)
	v := newVerdict(n, receipt, err, channelWords)
	if a.json {
		if err := a.printJSON(v); err != nil {
			return err
		}
	} else {
		a.printVerdict(v)
	}
	return exit(v.exitCode())
}

// apply makes the payload, which is one of --event's or --payload's.
func (f *channelSendFlags) apply(a *app, flags *pflag.FlagSet, m *message.Message) error {
	if err := f.activityFlags.apply(a, flags, m, true); err != nil {
		return err
	}
	if m.Given&message.FieldPayload == 0 {
		return usage("there is nothing to send: give --event with --content-state, or --payload")
	}
	return nil
}
