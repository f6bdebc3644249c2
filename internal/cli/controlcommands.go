package cli

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"aviso.example/internal/api"
	"aviso.example/internal/suggest"
)

// group is a command that only has subcommands.
func group(cmd *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var names []string
		for _, sub := range cmd.Commands() {
			names = append(names, sub.Name())
		}
		return usage("there is no command %q%s; see aviso help %s", cmd.Name()+" "+args[0], suggest.Hint(args[0], names), cmd.Name())
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(subs...)
	return cmd
}

// change makes one request to a server and shows what it answers.
func change[T any](ctx context.Context, a *app, t *serverTarget, method, path string, body any, print func(*T) error) error {
	c, err := t.client(a)
	if err != nil {
		return err
	}
	defer c.close()
	var answer T
	if err := c.ask(ctx, method, path, body, &answer); err != nil {
		return exitOf(err)
	}
	if a.json {
		return a.printJSON(answer)
	}
	return print(&answer)
}

func (a *app) appCommand() *cobra.Command {
	print := func(app *api.App) error { a.printApp(app); return nil }
	t, note := &serverTarget{}, ""
	pause := &cobra.Command{
		Use:   "pause ID",
		Short: "Stop sending for an app",
		Long: `Stop sending for an app of a running server. What is handed in meanwhile is
accepted and waits, also over restarts, until aviso app resume.`,
		Example: `  aviso app pause shop --note "wrong link in the campaign"`,
		Args:    oneArgument("app"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]string{}
			if note != "" {
				body["note"] = note
			}
			return change(cmd.Context(), a, t, http.MethodPost, "/v1/apps/"+url.PathEscape(args[0])+":pause", body, print)
		},
	}
	t.register(pause.Flags())
	pause.Flags().StringVar(&note, "note", "", "`TEXT` that tells others why; it must not name a person")
	resume := &cobra.Command{
		Use:     "resume ID",
		Short:   "Go on sending for an app",
		Long:    `Go on sending for an app, also if the server paused it by itself.`,
		Example: `  aviso app resume shop`,
		Args:    oneArgument("app"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return change(cmd.Context(), a, t, http.MethodPost, "/v1/apps/"+url.PathEscape(args[0])+":resume", nil, print)
		},
	}
	t.register(resume.Flags())
	return group(&cobra.Command{
		Use:   "app",
		Short: "Pause an app of a server, and go on",
		Long: `Stop sending for an app of a running server, and go on. Nothing is lost
meanwhile. aviso status shows which apps there are and how they fare.`,
		Example: `  aviso app pause shop
  aviso app resume shop`,
	}, pause, resume)
}

func (a *app) batchCommand() *cobra.Command {
	t := &serverTarget{}
	verb := func(name, short, long string) *cobra.Command {
		cmd := &cobra.Command{
			Use: name + " ID", Short: short, Long: long, Args: oneArgument("batch"),
			Example: "  aviso batch " + name + " bat_068uhsjfacu3sc8v6l7m3b8mfs",
			RunE: func(cmd *cobra.Command, args []string) error {
				return change(cmd.Context(), a, t, http.MethodPost, "/v1/batches/"+url.PathEscape(args[0])+":"+name, nil, a.printBatch)
			},
		}
		t.register(cmd.Flags())
		return cmd
	}
	pace := &cobra.Command{
		Use:     "pace ID RATE",
		Short:   "Bound the notifications of a batch that are sent a second",
		Long:    `Bound the notifications of a batch that are sent a second; 0 removes the bound.`,
		Example: `  aviso batch pace bat_068uhsjfacu3sc8v6l7m3b8mfs 500`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage("%s takes a batch and a number, and there are %d", cmd.CommandPath(), len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			rate, err := strconv.ParseFloat(strings.TrimSuffix(args[1], "/s"), 64)
			if err != nil || !(rate >= 0) {
				return usage("the rate is %q; it has to be a number from 0", args[1])
			}
			return change(cmd.Context(), a, t, http.MethodPatch, "/v1/batches/"+url.PathEscape(args[0]), map[string]float64{"rate": rate}, a.printBatch)
		},
	}
	t.register(pace.Flags())
	return group(&cobra.Command{
		Use:   "batch",
		Short: "Pause, pace or cancel a batch on a server",
		Long: `Change how a batch is sent that was handed to a running server with aviso push
--batch. aviso status ID shows how it fares.`,
		Example: `  aviso batch pause bat_068uhsjfacu3sc8v6l7m3b8mfs
  aviso batch pace bat_068uhsjfacu3sc8v6l7m3b8mfs 500`,
	},
		verb("pause", "Stop sending a batch", `Stop sending a batch. What has not been handed to APNs waits for aviso batch
resume.`),
		verb("resume", "Go on sending a batch", `Go on sending a batch that was paused.`),
		verb("cancel", "Call a batch back", `Call a batch back: notifications that have not been handed to APNs end as
cancelled. It cannot be undone.`),
		pace)
}
