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
	"github.com/spf13/pflag"

	"aviso.example/apns"
	"aviso.example/engine"
	"aviso.example/internal/api"
	"aviso.example/internal/message"
	"aviso.example/internal/suggest"
)

const (
	// defaultWait is how long --wait waits unless it says otherwise.
	defaultWait = time.Minute
	// firstLook and lastLook bound the pause between two questions for verdicts,
	// which grows, since most take milliseconds and some take hours.
	firstLook = 10 * time.Millisecond
	lastLook  = time.Second
)

type pushFlags struct {
	serverTarget
	messageFlags
	serverFlags
	to   []string
	wait string
	pushBatchFlags
}

// serverFlags are what only a server understands of a message.
type serverFlags struct{ app, environment, lane, onUnknown, sendAt string }

func (f *serverFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.app, "app", "", "`ID` of the app to send for; can be left out if the server has one only")
	flags.StringVar(&f.environment, "environment", "", "`NAME`: sandbox or production (default: the app's)")
	flags.StringVar(&f.lane, "lane", "", "`NAME` of the lane: urgent, normal or bulk (default: by push type and number)")
	flags.StringVar(&f.onUnknown, "on-unknown", "", "`WHAT` to do when APNs does not answer: resend (default) or drop, where a gap is better than a duplicate")
	flags.StringVar(&f.sendAt, "send-at", "", "send it at `WHEN`, 60 days ahead at most: 90m from now, a time like 2026-12-24T18:00:00Z, or UNIX seconds")
}

func (a *app) pushCommand() *cobra.Command {
	f := &pushFlags{}
	cmd := &cobra.Command{
		Use:   "push",
		Short: "Hand notifications to a server, which sends them and keeps the verdict",
		Long: `Hand a notification for one or several devices to a running server (aviso serve)
and print its id. When this command has ended, the notification is on the
server's disk: it will be sent, and what became of it can be asked for with
aviso status.

With --wait, wait until that is known, print what became of each device token as
aviso send does, and end with the same exit codes: 3 if something was rejected, 4
if something is unknown, not sent, or not settled in time. --wait=5m waits
longer than a minute.

With --batch, hand over a file of any size, or standard input with -: the lines
are those of aviso send --batch, except that the server chooses the ids. They are
on disk as fast as it writes; lines that are wrong are reported with their
number. With --wait, follow the batch until all of it has a verdict.`,
		Example: `  aviso push --app shop --to 740f4707… --title Hello --body World --wait
  aviso push --server https://push.example --api-key-file key --to 740f4707… --payload push.json --send-at 90m
  aviso push --app shop --topic com.example.app --title Sale --batch devices.ndjson --wait=1h`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.Flags().Changed("wait") {
				return usage("%q belongs to no flag; to wait for a time write --wait=%s", args[0], args[0])
			}
			return noArguments(cmd, args)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.push(cmd, f) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.serverTarget.register(flags)
	f.serverFlags.register(flags)
	flags.StringArrayVar(&f.to, "to", nil, "`DEVICE_TOKEN` to send to, hexadecimal (repeatable)")
	f.messageFlags.register(flags)
	f.pushBatchFlags.register(flags)
	flags.StringVar(&f.wait, "wait", "", "wait for verdicts, for this `TIME` at most")
	flags.Lookup("wait").NoOptDefVal = defaultWait.String()
	return cmd
}

// read returns the keys of a request that the flags stand for.
func (f *pushFlags) read(a *app, flags *pflag.FlagSet) (map[string]any, *message.Message, error) {
	m, err := f.messageFlags.message(a, flags)
	keys, more := f.serverFlags.keys()
	if problems := append(message.ProblemsOf(err), more...); len(problems) > 0 {
		return nil, nil, usage("%w", message.Invalid(problems...))
	}
	body := f.messageFlags.keys(m)
	maps.Copy(body, keys)
	return body, m, nil
}

// keys returns what the flags say, as the keys of an object, and what is wrong with
// them.
func (f *serverFlags) keys() (keys map[string]any, problems []message.Problem) {
	keys = map[string]any{}
	for _, word := range []struct {
		name, value string
		known       []string
	}{
		{"environment", f.environment, []string{"production", "sandbox"}},
		{"lane", f.lane, []string{engine.Urgent.String(), engine.Normal.String(), engine.Bulk.String()}},
		{"on-unknown", f.onUnknown, []string{"resend", "drop"}},
	} {
		if word.value == "" {
			continue
		}
		if !slices.Contains(word.known, word.value) {
			problems = append(problems, message.Problem{
				Field: "--" + word.name,
				Text:  fmt.Sprintf("is %q%s; it has to be %s", word.value, suggest.Hint(word.value, word.known), strings.Join(word.known, " or ")),
			})
		}
		keys[strings.ReplaceAll(word.name, "-", "_")] = word.value
	}
	if f.app != "" {
		keys["app"] = f.app
	}
	if f.sendAt != "" {
		at, err := message.ParseTime(f.sendAt, time.Now())
		if err != nil {
			problems = append(problems, message.Problem{Field: "--send-at", Text: err.Error()})
		}
		keys["send_at"] = at.UTC().Format(time.RFC3339)
	}
	return keys, problems
}

// waitTime reads --wait; 0 means not to wait.
func (f *pushFlags) waitTime() (time.Duration, error) {
	if f.wait == "" {
		return 0, nil
	}
	d, err := parseDuration(f.wait)
	if err == nil && d == 0 {
		return 0, usage("--wait is %s; leave it out not to wait", f.wait)
	}
	if err != nil {
		return 0, usage("--wait %w", err)
	}
	return d, nil
}

func (a *app) push(cmd *cobra.Command, f *pushFlags) error {
	flags := cmd.Flags()
	body, m, err := f.read(a, flags)
	if err != nil {
		return err
	}
	wait, err := f.waitTime()
	if err != nil {
		return err
	}
	if err := f.pushBatchFlags.check(flags); err != nil {
		return err
	}
	if f.batch == "" {
		if len(f.to) == 0 {
			return usage("--to is missing: the device token to send to, as the app received it")
		}
		// The server makes the payload; what is wrong with it is better said here,
		// in the words of flags.
		if _, err := m.AppendPayload(nil, flagName); err != nil {
			return usage("%w", err)
		}
		body["to"] = f.to
	}
	c, err := f.client(a)
	if err != nil {
		return err
	}
	defer c.close()
	if f.batch != "" {
		return a.pushBatch(cmd.Context(), f, c, body, wait)
	}
	var receipt api.MessageReceipt
	if err := c.ask(cmd.Context(), http.MethodPost, "/v1/messages", body, &receipt); err != nil {
		return exitOf(err)
	}
	if wait == 0 {
		return a.printReceipt(f.to, receipt)
	}
	if !a.json {
		a.printWarnings(receipt.Warnings)
	}
	verdicts, err := c.await(cmd.Context(), receipt, wait)
	if err != nil {
		return exitOf(err)
	}
	code := 0
	for i, to := range f.to {
		v, ok := verdicts[i]
		if !ok {
			v = refusedVerdict(to, receipt, i)
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

// refusedVerdict is about a device token that the server did not take.
func refusedVerdict(to string, receipt api.MessageReceipt, index int) verdict {
	v := verdict{DeviceToken: to, Message: receipt.ID, Outcome: apns.NotSent, invalid: true}
	for _, r := range receipt.Refused {
		if r.Index == index {
			v.Error = r.Problem
		}
	}
	return v
}

// printReceipt says what was handed over.
func (a *app) printReceipt(to []string, receipt api.MessageReceipt) error {
	code := ExitOK
	if len(receipt.Refused) > 0 {
		code = ExitUsage
	}
	if a.json {
		if err := a.printJSON(receipt); err != nil {
			return err
		}
		return exit(code)
	}
	a.printWarnings(receipt.Warnings)
	a.printf("%s  on disk; aviso status %s tells what becomes of it\n", a.paint(a.stdout, bold, receipt.ID), receipt.ID)
	for i, id := range receipt.Deliveries {
		if id != nil {
			a.printf("  %s  %s\n", *id, shorten(to[i]))
		}
	}
	for _, r := range receipt.Refused {
		a.printf("  %s %s: %s\n", a.paint(a.stdout, red, "refused"), shorten(to[r.Index]), r.Problem)
	}
	return exit(code)
}

// printWarnings says what the server finds odd about what it accepted.
func (a *app) printWarnings(list []api.Warning) {
	for _, w := range list {
		at := cmp.Or(w.Path, "payload")
		if w.Line > 0 {
			at = fmt.Sprintf("line %d: %s", w.Line, at)
		}
		a.warnf("%s: %s; %s [%s]", at, w.Message, w.Fix, w.Code)
	}
}

// await waits until a message is done or time is up, and returns the verdicts by
// the place of their device token.
func (c *apiClient) await(ctx context.Context, receipt api.MessageReceipt, wait time.Duration) (map[int]verdict, error) {
	path := "/v1/messages/" + url.PathEscape(receipt.ID)
	var status api.Message
	err := poll(ctx, wait, func() (bool, error) {
		err := c.ask(ctx, http.MethodGet, path, nil, &status)
		return status.Done, err
	})
	if err != nil {
		return nil, err
	}
	place := map[string]int{}
	for i, id := range receipt.Deliveries {
		if id != nil {
			place[*id] = i
		}
	}
	id, err := engine.ParseMessageID(receipt.ID)
	if err != nil {
		return nil, err
	}
	for i := range id.Count { // also of the many that are not listed
		place[id.ID(i).String()] = i
	}
	verdicts := map[int]verdict{}
	for next := ""; ; {
		query := url.Values{"limit": {"1000"}}
		if next != "" {
			query.Set("cursor", next)
		}
		var page api.Deliveries
		if err := c.ask(ctx, http.MethodGet, path+"/deliveries?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		for i := range page.Deliveries {
			d := &page.Deliveries[i]
			if at, ok := place[d.ID]; ok {
				verdicts[at] = deliveryVerdict(d)
			}
		}
		if next = page.Next; next == "" {
			return verdicts, nil
		}
	}
}

// poll asks until the answer is yes or time is up, more and more seldom. Time
// being up is no error.
func poll(ctx context.Context, wait time.Duration, ask func() (done bool, err error)) error {
	end := time.Now().Add(wait)
	for pause := firstLook; ; pause = min(pause*3/2, lastLook) {
		done, err := ask()
		left := time.Until(end)
		if err != nil || done || left <= 0 {
			return err
		}
		timer := time.NewTimer(min(pause, left))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil // what is known is still worth telling
		case <-timer.C:
		}
	}
}

// deliveryVerdict is what a server says, as `aviso send` would.
func deliveryVerdict(d *api.Delivery) verdict {
	v := verdict{
		DeviceToken: d.DeviceToken, ID: d.ID, UniqueID: d.UniqueID, Attempts: d.Attempts, Status: d.Status, Reason: apns.Reason(d.Reason),
		Action: apns.Action(d.Action), Advice: d.Advice, State: d.State, Message: d.Message, Error: d.Meaning,
	}
	if d.Detail != "" {
		v.Error = d.Detail
	}
	if d.DeadSince != nil {
		v.Since = *d.DeadSince
	}
	if d.RetryAt != nil {
		v.RetryAt = *d.RetryAt
	}
	switch d.State {
	case engine.Accepted.String():
		v.Outcome, v.Error, v.Status = apns.Accepted, "", 0
	case engine.Rejected.String():
		v.Outcome = apns.Rejected
	case engine.Expired.String(), engine.Cancelled.String():
		v.Outcome = apns.NotSent
	case engine.Unknown.String():
		v.Outcome = apns.Unknown
	}
	return v
}

// keys returns what the flags of a message say, as the keys of an object.
func (f *messageFlags) keys(m *message.Message) map[string]any {
	body := map[string]any{}
	for field, value := range map[message.Field]any{
		message.FieldTopic: f.topic, message.FieldPushType: f.pushType, message.FieldPriority: f.priority,
		message.FieldExpiration: f.expiration, message.FieldCollapseID: f.collapseID,
		message.FieldTitle: f.title, message.FieldSubtitle: f.subtitle, message.FieldBody: f.body, message.FieldBadge: badgeValue(f.badge),
		message.FieldSound: f.sound, message.FieldCategory: f.category, message.FieldThreadID: f.threadID, message.FieldInterruptionLevel: f.interruption,
		message.FieldMutableContent: f.mutable, message.FieldContentAvailable: f.contentAvailable,
		message.FieldData: m.Data, message.FieldPayload: json.RawMessage(m.Payload),
	} {
		if m.Given&field != 0 {
			body[strings.Trim(message.KeyName(field), `"`)] = value
		}
	}
	return body
}

// badgeValue is the text of --badge as JSON: a number, or clear.
func badgeValue(text string) any {
	if text == "clear" {
		return text
	}
	return json.Number(text)
}
