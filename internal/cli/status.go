package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aviso.example/apns"
	"aviso.example/internal/api"
)

func (a *app) statusCommand() *cobra.Command {
	t := &serverTarget{}
	cmd := &cobra.Command{
		Use:   "status [ID|DEVICE_TOKEN]",
		Short: "Show how a server fares, or what became of a notification",
		Long: `Show what a running server (aviso serve) is doing: its apps, whether one is
paused and why, what waits and since when, what is under way, and the verdicts
since it began.

With the id of a message (msg_…), a batch (bat_…) or a delivery (the UUID that
APNs knows a notification by), tell what became of it: every attempt, the reason
APNs gave, and what to do. With a device token, tell what became of what was sent
to that device.`,
		Example: `  aviso status
  aviso status msg_068uhsjfacu3sc8v6l7m3b8mfs
  aviso status 0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7f --json
  aviso status 740f4707…`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("%s takes one id at most, and there are %d", cmd.CommandPath(), len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id := ""
			if len(args) == 1 {
				id = args[0]
			}
			return a.status(cmd.Context(), t, id)
		},
	}
	t.register(cmd.Flags())
	return cmd
}

// shownDeliveries is how many deliveries of a message are shown one by one.
const shownDeliveries = 10

// shortestDeviceToken is the length of one in characters: 32 bytes, as Apple began
// with.
const shortestDeviceToken = 64

func (a *app) status(ctx context.Context, t *serverTarget, id string) error {
	path := ""
	// The bytes of a UUID could be a device token's, but none is so short.
	isDevice := len(id) >= shortestDeviceToken && apns.CheckDeviceToken(id) == nil
	switch {
	case id == "":
		path = "/v1/status"
	case strings.HasPrefix(id, "msg_"):
		path = "/v1/messages/" + url.PathEscape(id)
	case strings.HasPrefix(id, "bat_"):
		path = "/v1/batches/" + url.PathEscape(id)
	case isDevice:
		path = "/v1/deliveries?device_token=" + url.QueryEscape(id)
	default:
		if _, err := apns.ParseID(id); err != nil {
			return usage("%q is neither an id nor a device token: ids of messages begin with msg_, those of batches with bat_, those of deliveries are UUIDs, and device tokens are hexadecimal", id)
		}
		path = "/v1/deliveries/" + url.PathEscape(id)
	}
	c, err := t.client(a)
	if err != nil {
		return err
	}
	defer c.close()
	var answer json.RawMessage
	if err := c.ask(ctx, http.MethodGet, path, nil, &answer); err != nil {
		return exitOf(err)
	}
	for isDevice { // a page can be empty and not be the last
		var page api.Deliveries
		if err := json.Unmarshal(answer, &page); err != nil || page.Next == "" || len(page.Deliveries) > 0 {
			break
		}
		if err := c.ask(ctx, http.MethodGet, path+"&cursor="+url.QueryEscape(page.Next), nil, &answer); err != nil {
			return exitOf(err)
		}
	}
	if a.json {
		a.printf("%s\n", strings.TrimSpace(string(answer)))
		return nil
	}
	switch {
	case id == "":
		return show(answer, a.printStatus)
	case strings.HasPrefix(id, "msg_"):
		return show(answer, func(m *api.Message) error { return a.printMessage(ctx, c, m) })
	case strings.HasPrefix(id, "bat_"):
		return show(answer, a.printBatch)
	case isDevice:
		return show(answer, a.printDeliveries)
	}
	return show(answer, a.printDelivery)
}

func show[T any](answer []byte, print func(*T) error) error {
	var value T
	if err := json.Unmarshal(answer, &value); err != nil {
		return fmt.Errorf("the answer of the server cannot be read: %w", err)
	}
	return print(&value)
}

// colourOf is a state's colour.
func colourOf(state string) string {
	switch state {
	case "accepted":
		return green
	case "rejected", "expired", "cancelled":
		return red
	case "unknown", "retrying":
		return yellow
	}
	return dim
}

// stateOrder is how states are listed: as they follow each other.
var stateOrder = []string{"scheduled", "queued", "sending", "retrying", "accepted", "rejected", "expired", "cancelled", "unknown"}

func printStates[N int | int64](a *app, states map[string]N) {
	for _, state := range stateOrder {
		if n := states[state]; n > 0 {
			name := state
			if state == "accepted" {
				name = "accepted by APNs"
			}
			a.printf("  %s %14s\n", a.paint(a.stdout, colourOf(state), fmt.Sprintf("%-18s", name)), grouped(int64(n)))
		}
	}
}

func (a *app) printReasons(reasons []api.ReasonCount) {
	for _, r := range reasons {
		a.printf("    %-32s %s\n", r.Reason, grouped(r.Count))
		if advice := whatToDo(r.Action, r.Advice); advice != "" {
			a.printf("      %s\n", advice)
		}
	}
}

func (a *app) printStatus(s *api.Status) error {
	a.printf("%s %s, up for %s\n", a.paint(a.stdout, bold, "aviso"), s.Version, age(s.Since))
	log := writeBytes(s.LogBytes)
	if s.LogLimit > 0 {
		log += " of " + writeBytes(s.LogLimit)
	}
	if s.Full {
		log += a.paint(a.stdout, red, ", full: nothing is accepted until there is space")
	}
	a.printf("  %-18s %s\n", "log on disk", log)
	if s.Aside > 0 {
		a.printf("  %-18s %s\n", "set aside", a.paint(a.stdout, red, plural(s.Aside, "chunk")+" that cannot be read; the log says more"))
	}
	a.printf("  %-18s %s\n", "not sent to", plural(int64(s.Suppressed), "dead device token"))
	for i := range s.Apps {
		a.printf("\n")
		a.printApp(&s.Apps[i])
	}
	return nil
}

func (a *app) printApp(app *api.App) {
	text := strings.Join(app.Environments, " and ")
	if app.Rate > 0 {
		text += fmt.Sprintf(", at most %v a second", app.Rate)
	}
	a.printf("%s  %s  %s\n", a.paint(a.stdout, bold, app.ID), app.BundleID, text)
	if app.Paused {
		note := ""
		if app.Note != "" {
			note = ": " + app.Note
		}
		since := ""
		if app.PausedAt != nil {
			since = " for " + age(*app.PausedAt)
		}
		a.printf("  %s%s%s; aviso app resume %s goes on\n", a.paint(a.stdout, yellow, "paused"), since, note, app.ID)
	}
	for _, h := range app.Holds {
		until := fmt.Sprintf("until aviso app resume %s, once that is put right", app.ID)
		if h.Until != nil {
			until = "tried again at " + h.Until.Local().Format(time.TimeOnly)
		}
		a.printf("  %s in %s, %s: %s\n", a.paint(a.stdout, red, "held"), h.Environment, until, h.Reason)
	}
	for _, c := range app.Certificates {
		if text := expiryText(c.Expires, time.Now()); text != "" {
			a.printf("  %s for %s %s\n", a.paint(a.stdout, yellow, "certificate"), c.Environment, text)
		}
	}
	for _, lane := range app.Lanes {
		var parts []string
		if lane.QueuedChunks > 0 {
			text := fmt.Sprintf("%s (%s) queued", plural(lane.QueuedChunks, "chunk"), writeBytes(lane.QueuedBytes))
			if lane.OldestQueued != nil {
				text += ", the oldest for " + age(*lane.OldestQueued)
			}
			parts = append(parts, text)
		} else {
			parts = append(parts, "nothing queued")
		}
		parts = append(parts, grouped(int64(lane.UnderWay))+" under way", plural(int64(lane.Connections), "connection"))
		a.printf("  %s, %s: %s\n", lane.Environment, lane.Lane, strings.Join(parts, ", "))
	}
	states, reasons := map[string]int64{}, map[string]api.ReasonCount{}
	for _, lane := range app.Lanes {
		for state, n := range lane.Verdicts {
			states[state] += n
		}
		for _, r := range lane.Reasons {
			sum := reasons[r.Reason]
			r.Count += sum.Count
			reasons[r.Reason] = r
		}
	}
	printStates(a, states)
	a.printReasons(slices.SortedFunc(maps.Values(reasons), func(x, y api.ReasonCount) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Reason, y.Reason))
	}))
}

// plural writes a number of things.
func plural(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return grouped(n) + " " + what
}

// age writes how long ago something was, as people say it.
func age(t time.Time) string {
	d := max(0, time.Since(t))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

func (a *app) printMessage(ctx context.Context, c *apiClient, m *api.Message) error {
	word := "under way"
	if m.Done {
		word = "done"
	}
	a.printf("%s  %s of app %s, %s, lane %s\n", a.paint(a.stdout, bold, m.ID), word, m.App, m.Environment, m.Lane)
	printStates(a, m.States)
	if refused := m.Count - m.Accepted; refused > 0 {
		a.printf("  %s %14s\n", a.paint(a.stdout, red, fmt.Sprintf("%-18s", "refused here")), grouped(int64(refused)))
	}
	a.printReasons(m.Reasons)
	if m.Accepted > shownDeliveries {
		return nil
	}
	var page api.Deliveries
	if err := c.ask(ctx, http.MethodGet, "/v1/messages/"+url.PathEscape(m.ID)+"/deliveries", nil, &page); err != nil {
		return exitOf(err)
	}
	a.printf("\n")
	for i := range page.Deliveries {
		a.printVerdict(deliveryVerdict(&page.Deliveries[i]))
	}
	return nil
}

func (a *app) printBatch(b *api.Batch) error {
	word := "being sent"
	switch {
	case b.Done:
		word = "done"
	case b.Cancelled:
		word = "cancelled"
	case b.Paused:
		word = "paused; aviso batch resume " + b.ID + " goes on"
	case b.ClosedAt == nil:
		word = "being handed over"
	}
	a.printf("%s  %s\n", a.paint(a.stdout, bold, b.ID), word)
	line := func(name, text string) {
		if text != "" {
			a.printf("  %-18s %s\n", name, text)
		}
	}
	line("label", b.Label)
	line("app", b.App+", "+b.Environment+", lane "+b.Lane)
	line("broken off", b.Broken)
	if b.Rate > 0 {
		line("rate", fmt.Sprintf("at most %v a second", b.Rate))
	}
	states := map[string]int64{
		"accepted": b.Outcomes.Accepted, "rejected": b.Outcomes.Rejected, "expired": b.Outcomes.Expired,
		"cancelled": b.Outcomes.Cancelled, "unknown": b.Outcomes.Unknown, "queued": b.Waiting,
	}
	printStates(a, states)
	if b.Refused > 0 {
		a.printf("  %s %14s\n", a.paint(a.stdout, red, fmt.Sprintf("%-18s", "bad lines")), grouped(b.Refused))
	}
	a.printReasons(b.Reasons)
	return nil
}

// printDeliveries tells what became of what was sent to one device.
func (a *app) printDeliveries(page *api.Deliveries) error {
	if len(page.Deliveries) == 0 {
		a.printf("Nothing waits for this device, and nothing was sent to it, as far back as the server remembers.\n")
		return nil
	}
	for i := range page.Deliveries {
		if err := a.printDelivery(&page.Deliveries[i]); err != nil {
			return err
		}
	}
	if page.Next != "" {
		a.printf("There is more; GET /v1/deliveries?device_token=… gives all.\n")
	}
	return nil
}

func (a *app) printDelivery(d *api.Delivery) error {
	belongs := d.Message + d.Batch
	a.printf("%s  app %s, %s, lane %s, of %s\n", a.paint(a.stdout, bold, d.ID), d.App, d.Environment, d.Lane, belongs)
	for _, v := range d.History {
		a.printAttempt(&v)
	}
	a.printVerdict(deliveryVerdict(d))
	if d.InDeadLetter {
		a.printf("    it went to the dead letters, from where it can be sent again until somebody discards it\n")
	}
	return nil
}

// printAttempt is a line of a delivery's history.
func (a *app) printAttempt(v *api.Verdict) {
	why := reasonText(v.Status, apns.Reason(v.Reason))
	if why == "" {
		why = v.Detail
	}
	next := ""
	if v.RetryAt != nil {
		next = ", again at " + v.RetryAt.UTC().Format(time.RFC3339)
	}
	a.printf("  %s  %s: %s%s\n", v.At.UTC().Format(time.RFC3339), a.paint(a.stdout, colourOf(v.State), v.State), cmp.Or(why, "no reason given"), next)
}
