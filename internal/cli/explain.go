package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"aviso.example/apns"
	"aviso.example/internal/suggest"
	"aviso.example/legacy"
	"aviso.example/webpush"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [REASON|STATUS]",
		Short: "Tell what a reason that APNs gave means and what to do",
		Long: `Tell what a reason in an answer of APNs means, with which status it comes, and
what to do about it. With the status of an answer, list the reasons that it comes
with; a number below 200, or 255, is a status of the binary protocol. Without an
argument, list all reasons.`,
		Example: `  aviso explain BadDeviceToken
  aviso explain 410
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
	if status, err := strconv.Atoi(word); err == nil {
		return a.explainStatus(status)
	}
	info, ok := apns.LookupReason(word)
	if web, found := webpush.LookupReason(word); !ok && found {
		if a.json {
			return a.printJSON(webPushReason{web, true})
		}
		a.printf("%s (Web Push only)\n", a.paint(a.stdout, bold, string(web.Reason)))
		a.printf("  means       %s\n", web.Meaning)
		a.printf("  what to do  %s\n", whatToDo(web.Action, web.Advice))
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
	a.printReason(info)
	return nil
}

func (a *app) printReason(info apns.ReasonInfo) {
	where := ""
	if info.Broadcast {
		where = ", broadcasts and channels only"
	}
	a.printf("%s (status %d%s)\n", a.paint(a.stdout, bold, string(info.Reason)), info.Status, where)
	a.printf("  means       %s\n", info.Meaning)
	a.printf("  what to do  %s\n", whatToDo(info.Action, info.Advice))
	if info.Note != "" {
		a.printf("  note        %s\n", info.Note)
	}
}

// explainStatus lists what a number in an answer can mean: of HTTP, or of the binary
// protocol's error packets.
func (a *app) explainStatus(status int) error {
	if status >= 0 && status < 200 || status == 255 {
		s := legacy.Status(status)
		if !s.Known() {
			return usage("the binary protocol has no status %d; it has 0 to 8, 10, 128 and 255", status)
		}
		reason, httpStatus := s.Reason()
		if a.json {
			return a.printJSON(map[string]any{"binary_status": status, "meaning": s.Meaning(), "reason": reason, "status": httpStatus})
		}
		a.printf("%s of the binary protocol: %s\n", a.paint(a.stdout, bold, fmt.Sprintf("status %d", status)), s.Meaning())
		if info, ok := apns.LookupReason(string(reason)); ok {
			a.printf("  today       %d %s: %s\n", info.Status, info.Reason, info.Meaning)
			a.printf("  what to do  %s\n", whatToDo(info.Action, info.Advice))
		}
		return nil
	}
	var list []apns.ReasonInfo
	known := []string{"200"}
	for r := range apns.Reasons() {
		if text := strconv.Itoa(r.Status); !slices.Contains(known, text) {
			known = append(known, text)
		}
		if r.Status == status {
			list = append(list, r)
		}
	}
	switch {
	case a.json && (status == 200 || len(list) > 0):
		return a.printJSON(slices.Concat(list, []apns.ReasonInfo{}))
	case status == 200:
		a.printf("200: APNs has accepted the push. That is no proof that a device has shown it.\n")
		return nil
	case len(list) == 0:
		slices.Sort(known)
		return usage("APNs does not answer with status %d as far as anybody knows; it has %s", status, strings.Join(known, ", "))
	}
	for i, r := range list {
		if i > 0 {
			a.printf("\n")
		}
		a.printReason(r)
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
