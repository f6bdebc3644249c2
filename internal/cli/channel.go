package cli

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aviso.example/apns"
	"aviso.example/broadcast"
)

func (a *app) channelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "channel",
		Short: "Manage broadcast channels and send to them",
		Long: `Create, show, list and delete the broadcast channels of an app, and send to one.
A channel carries updates and ends of Live Activities to every device that
listens to it (iOS 18). Its id is chosen by APNs and works in one environment
only; an app may have 10,000 in each.

The app needs the Broadcast Capability, which is enabled in the developer portal
under Push Notifications of the App ID.`,
		Example: `  aviso channel create --sandbox --key AuthKey_ABC123DEFG.p8 --team A1B2C3D4E5 --topic com.example.app
  aviso channel send CHANNEL_ID --sandbox --key AuthKey_ABC123DEFG.p8 --team A1B2C3D4E5 \
      --topic com.example.app --event update --content-state state.json`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.channelCreateCommand(), a.channelShowCommand(), a.channelListCommand(), a.channelDeleteCommand(), a.channelSendCommand())
	return cmd
}

// channelFlags say where channels are managed, and whose.
type channelFlags struct {
	target
	identity
	topic   string
	timeout time.Duration
}

func (f *channelFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	f.target.registerWithoutPort(flags)
	f.identity.register(flags)
	flags.StringVar(&f.topic, "topic", "", "bundle `ID` of the app, without a suffix")
	flags.DurationVar(&f.timeout, "timeout", 0, "give up after this `TIME`, resends included (default 1m0s)")
}

// manage connects to where channels are managed and does something there.
func (f *channelFlags) manage(a *app, cmd *cobra.Command, do func(context.Context, *broadcast.Manager) error) error {
	var cfg apns.Config
	if err := allWrong(f.target.apply(cmd.Flags(), &cfg), f.identity.apply(a, &cfg), checkTimeout(cmd.Flags(), f.timeout)); err != nil {
		return err
	}
	cfg.BundleID, cfg.Timeout = f.topic, f.timeout
	if a.verbose > 0 {
		cfg.Logger = a.logger()
	}
	m, err := broadcast.NewManager(cfg)
	if err != nil {
		return usage("%s", goToFlags(err))
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		m.Close(ctx)
	}()
	err = do(cmd.Context(), m)
	if err == nil {
		return nil
	}
	v := newVerdict(&apns.Notification{}, receiptOf(err), err, channelWords)
	v.request = true
	if a.json {
		if err := a.printJSON(v); err != nil {
			return err
		}
		return exit(v.exitCode())
	}
	if v.invalid {
		return usage("%s", v.Error) // in words of the command
	}
	if v.Reason == "" {
		return &exitError{v.exitCode(), err}
	}
	a.printVerdict(v)
	return exit(v.exitCode())
}

// receiptOf is what an error knows of the request.
func receiptOf(err error) apns.Receipt {
	if e, ok := errors.AsType[*apns.RejectedError](err); ok {
		return e.Receipt
	}
	if e, ok := errors.AsType[*apns.UnknownError](err); ok {
		return e.Receipt
	}
	if e, ok := errors.AsType[*apns.NotSentError](err); ok {
		return e.Receipt
	}
	return apns.Receipt{}
}

func goToFlags(err error) string {
	text := strings.ReplaceAll(err.Error(), "broadcast: Config.BundleID", "--topic")
	return strings.ReplaceAll(configWords.Replace(text), ", here and in Config: it is", ": it is")
}

// channelJSON is a channel as it is printed.
type channelJSON struct {
	ChannelID string `json:"channel_id"`
	BundleID  string `json:"bundle_id"`
	// Policy is none or latest.
	Policy string `json:"policy"`
}

func (a *app) printChannel(ch broadcast.Channel) error {
	v := channelJSON{ch.ID, ch.BundleID, broadcast.PolicyName(ch.Policy)}
	if a.json {
		return a.printJSON(v)
	}
	stores := "devices that are offline miss the message; --expiration has to be 0"
	if ch.Policy == broadcast.StoreLatest {
		stores = "the last message is kept for up to eight hours"
	}
	a.printf("  %-11s %s\n  %-11s %s\n  %-11s %s (%s)\n", "channel id", v.ChannelID, "app", v.BundleID, "policy", v.Policy, stores)
	return nil
}

func (a *app) channelCreateCommand() *cobra.Command {
	f := &channelFlags{}
	policy := ""
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a channel and print its id",
		Long: `Create a channel and print its id, which APNs chooses. Keep it: APNs has no names
for channels, and nothing of a channel can be changed later.`,
		Example: `  aviso channel create --sandbox --key AuthKey_ABC123DEFG.p8 --team A1B2C3D4E5 \
      --topic com.example.app --policy latest`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := broadcast.ParsePolicy(policy)
			if err != nil {
				return usage("--policy: %w", err)
			}
			return f.manage(a, cmd, func(ctx context.Context, m *broadcast.Manager) error {
				ch, err := m.Create(ctx, p)
				if err != nil {
					return err
				}
				return a.printChannel(ch)
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&policy, "policy", "none", "`NAME` of the storage policy: none (the higher budget) or latest (kept up to 8 h)")
	return cmd
}

func (a *app) channelShowCommand() *cobra.Command {
	f := &channelFlags{}
	cmd := &cobra.Command{
		Use:     "show CHANNEL_ID",
		Short:   "Show whether a channel exists, and its policy",
		Long:    "Show whether a channel exists in the environment, and its storage policy.",
		Example: `  aviso channel show dHN0LXNyY2gtY2hubA== --sandbox --key AuthKey_ABC123DEFG.p8 --team A1B2C3D4E5 --topic com.example.app`,
		Args:    oneArgument("channel id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.manage(a, cmd, func(ctx context.Context, m *broadcast.Manager) error {
				ch, err := m.Read(ctx, args[0])
				if err != nil {
					return err
				}
				return a.printChannel(ch)
			})
		},
	}
	f.register(cmd)
	return cmd
}

func (a *app) channelListCommand() *cobra.Command {
	f := &channelFlags{}
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the ids of an app's channels",
		Long:    "List the ids of all channels that an app has in the environment, one on each line.",
		Example: `  aviso channel list --sandbox --key AuthKey_ABC123DEFG.p8 --team A1B2C3D4E5 --topic com.example.app`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.manage(a, cmd, func(ctx context.Context, m *broadcast.Manager) error {
				ids, err := m.List(ctx)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(map[string]any{"channels": ids})
				}
				for _, id := range ids {
					a.printf("%s\n", id)
				}
				a.sayf("%s of %s channels", grouped(int64(len(ids))), grouped(broadcast.MaxChannels))
				return nil
			})
		},
	}
	f.register(cmd)
	return cmd
}

func (a *app) channelDeleteCommand() *cobra.Command {
	f := &channelFlags{}
	cmd := &cobra.Command{
		Use:     "delete CHANNEL_ID",
		Short:   "Delete a channel for good",
		Long:    "Delete a channel for good: its id never comes back. A stored message may still\ngo out.",
		Example: `  aviso channel delete dHN0LXNyY2gtY2hubA== --sandbox --key AuthKey_ABC123DEFG.p8 --team A1B2C3D4E5 --topic com.example.app`,
		Args:    oneArgument("channel id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.manage(a, cmd, func(ctx context.Context, m *broadcast.Manager) error {
				if err := m.Delete(ctx, args[0]); err != nil {
					return err
				}
				if a.json {
					return a.printJSON(map[string]string{"deleted": args[0]})
				}
				a.printf("  deleted %s\n", args[0])
				return nil
			})
		},
	}
	f.register(cmd)
	return cmd
}
