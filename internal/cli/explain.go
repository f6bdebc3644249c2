package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"aviso.example/apns"
	"aviso.example/internal/suggest"
	"aviso.example/webpush"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [REASON]",
		Short: "Tell what a reason that APNs gave means and what to do",
		Long: `Tell what a reason in an answer of APNs means, with which status it comes, and
what to do about it. Without an argument, list all reasons.`,
		Example: `  aviso explain BadDeviceToken
  aviso explain --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("aviso explain takes one reason at a time, and there are %d", len(args))
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return reasonWords(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listReasons()
			}
			return a.explain(args[0])
		},
	}
}

func reasonWords() (words []string) {
	for r := range apns.Reasons() {
		words = append(words, string(r.Reason))
	}
	for _, r := range webPushReasons() {
		words = append(words, string(r.Reason))
	}
	return words
}

// webPushReason is a row of Apple's push service for the web.
type webPushReason struct {
	webpush.ReasonInfo
	WebPush bool `json:"web_push"`
}

// webPushReasons are the words that only Web Push has. The others mean the same
// in both.
func webPushReasons() (list []webPushReason) {
	for r := range webpush.Reasons() {
		if _, both := apns.LookupReason(string(r.Reason)); !both {
			list = append(list, webPushReason{r, true})
		}
	}
	return list
}

func (a *app) explain(word string) error {
	info, ok := apns.LookupReason(word)
	if web, found := webpush.LookupReason(word); !ok && found {
		if a.json {
			return a.printJSON(webPushReason{web, true})
		}
		a.printf("%s (Web Push only)\n", a.paint(a.stdout, bold, string(web.Reason)))
		a.printf("  means       %s\n", web.Meaning)
		a.printf("  what to do  %s. %s\n", web.Action, web.Advice)
		return nil
	}
	if !ok {
		if near := suggest.Nearest(word, reasonWords(), 3); len(near) > 0 {
			return usage("APNs has no reason %q that anybody knows of; did you mean %s?", word, strings.Join(near, " or "))
		}
		return usage("APNs has no reason %q that anybody knows of; aviso explain lists all", word)
	}
	if a.json {
		return a.printJSON(info)
	}
	where := ""
	if info.Broadcast {
		where = ", broadcasts and channels only"
	}
	a.printf("%s (status %d%s)\n", a.paint(a.stdout, bold, string(info.Reason)), info.Status, where)
	a.printf("  means       %s\n", info.Meaning)
	a.printf("  what to do  %s. %s\n", info.Action, info.Advice)
	if info.Note != "" {
		a.printf("  note        %s\n", info.Note)
	}
	return nil
}

func (a *app) listReasons() error {
	all := slices.Collect(apns.Reasons())
	if a.json {
		list := make([]any, 0, len(all))
		for _, r := range all {
			list = append(list, r)
		}
		for _, r := range webPushReasons() {
			list = append(list, r)
		}
		return a.printJSON(list)
	}
	width := 0
	for _, r := range all {
		width = max(width, len(r.Reason))
	}
	broadcast := false
	for _, r := range all {
		if r.Broadcast && !broadcast {
			broadcast = true
			a.printf("\nBroadcasts and channels only:\n")
		}
		word := a.paint(a.stdout, bold, fmt.Sprintf("%-*s", width, r.Reason))
		a.printf("%d  %s  %-22s  %s\n", r.Status, word, r.Action, r.Meaning)
	}
	a.printf("\nWeb Push only:\n")
	for _, r := range webPushReasons() {
		word := a.paint(a.stdout, bold, fmt.Sprintf("%-*s", width, r.Reason))
		a.printf("     %s  %-22s  %s\n", word, r.Action, r.Meaning)
	}
	return nil
}
