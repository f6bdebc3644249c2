package cli

import (
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"aviso.example/webpush"
)

func (a *app) webpushCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webpush",
		Short: "Send standard Web Push to Safari and every other browser",
		Long: `Make the key that identifies a site to push services (VAPID), and send a message
to a browser that subscribed with it. It needs no Apple account: Safari on macOS
and Home Screen web apps on iOS take standard Web Push as all browsers do.`,
		Example: `  aviso webpush keys vapid.pem
  aviso webpush send subscription.json --key vapid.pem --subject mailto:push@example.com \
      --title "New message" --navigate https://example.com/inbox`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.webpushKeysCommand(), a.webpushSendCommand())
	return cmd
}

func (a *app) webpushKeysCommand() *cobra.Command {
	show := false
	cmd := &cobra.Command{
		Use:   "keys FILE",
		Short: "Make a VAPID key, and print its public half for the page",
		Long: `Make a VAPID key in a new file that only you can read, and print its public half,
which the page gives to pushManager.subscribe as applicationServerKey. Make one
for a site, once: every subscription is tied to the key it was made with, so a
file that exists is never overwritten. Keep a copy of it where secrets are kept.

With --show, print the public half of a key that exists: PEM, or the JSON that
web-push generate-vapid-keys --json prints.`,
		Example: `  aviso webpush keys vapid.pem
  aviso webpush keys --show vapid.pem`,
		Args: oneArgument("file"),
		RunE: func(_ *cobra.Command, args []string) error { return a.webpushKeys(args[0], show) },
	}
	cmd.Flags().BoolVar(&show, "show", false, "make nothing, print the public half of the key in FILE")
	return cmd
}

func (a *app) webpushKeys(path string, show bool) error {
	var key *webpush.Key
	var err error
	if show {
		if key, err = webpush.LoadKey(path); err != nil {
			return usage("%w", trimmed{err})
		}
	} else {
		if key, err = webpush.GenerateKey(); err != nil {
			return err
		}
		if err = key.Save(path); errors.Is(err, fs.ErrExist) {
			return usage("%w; aviso webpush keys --show %s prints its public half", trimmed{err}, path)
		} else if err != nil {
			return trimmed{err}
		}
	}
	if a.json {
		return a.printJSON(struct {
			KeyFile              string `json:"key_file"`
			ApplicationServerKey string `json:"application_server_key"`
		}{path, key.PublicKey()})
	}
	a.printf("  %-20s %s\n  %-20s %s\n", "key file", path, "applicationServerKey", key.PublicKey())
	return nil
}
