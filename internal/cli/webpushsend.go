package cli

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aviso.example/webpush"
)

type webpushFlags struct {
	key, subject                     string
	ttl, urgency, topic              string
	title, body, navigate, tag, icon string
	payload                          string
	empty, allowLoopback             bool
	knownServices, resendUnknown     bool
	ca                               string
	timeout                          time.Duration
}

// largestPayload bounds the file of a payload; what does not fit into a message
// is told by the package, with the number of bytes.
const largestPayload = 1 << 20

func (a *app) webpushSendCommand() *cobra.Command {
	f := &webpushFlags{}
	cmd := &cobra.Command{
		Use:   "send SUBSCRIPTION.json",
		Short: "Send a message to a browser",
		Long: `Send a message to the subscription in a file (- is standard input), as
JSON.stringify(subscription) gives it in the page, and say what became of it.

With --title and --navigate the message is a declarative one, which Safari 18.4
shows by itself; other browsers hand the same JSON to the page's service worker.
With --payload, what is in the file is sent as it is.

The endpoint of a subscription is a URL that came from a visitor: only https on
port 443 of public hosts is connected to. Exit codes: 0 accepted, 2 something on
the command line is wrong, 3 rejected, 4 not reachable or unknown. With status
404 or 410 the subscription is gone and can be deleted; --json says "gone".`,
		Example: `  aviso webpush send subscription.json --key vapid.pem --subject mailto:push@example.com \
      --title "New message" --body "Ada: hello" --navigate https://example.com/inbox
  aviso webpush send subscription.json --key vapid.pem --subject mailto:push@example.com \
      --payload message.json --ttl 1h --urgency high --topic inbox --json`,
		Args: oneArgument("file with a subscription"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.webpushSend(cmd, f, args[0]) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.key, "key", "", "VAPID key `FILE`, the one that the page's applicationServerKey belongs to")
	flags.StringVar(&f.subject, "subject", "", "`URI` at which push services reach you: mailto:name@example.com or https:…")
	flags.StringVar(&f.ttl, "ttl", "", "keep it for a browser that is away for this `TIME`: 3600, 1h, 7d, or 0 for now or never (default 28d)")
	flags.StringVar(&f.urgency, "urgency", "", "`WORD`: very-low, low, normal (default) or high")
	flags.StringVar(&f.topic, "topic", "", "replace an undelivered message with the same `NAME`, 32 characters of A-Z a-z 0-9 - _")
	flags.StringVar(&f.title, "title", "", "`TEXT` of the title")
	flags.StringVar(&f.body, "body", "", "`TEXT` below the title")
	flags.StringVar(&f.navigate, "navigate", "", "`URL` to open when the user taps the notification")
	flags.StringVar(&f.tag, "tag", "", "replace a notification that is shown with the same `NAME`")
	flags.StringVar(&f.icon, "icon", "", "`URL` of a picture")
	flags.StringVar(&f.payload, "payload", "", "send what is in this `FILE`, at most 3993 bytes; - is standard input")
	flags.BoolVar(&f.empty, "empty", false, "send no payload, which only wakes the page's service worker")
	flags.BoolVar(&f.knownServices, "known-services", false, "refuse endpoints that are not Apple's, Mozilla's, Google's or Microsoft's")
	flags.BoolVar(&f.resendUnknown, "resend-unknown", false, "send again what got no answer, at the risk of duplicates")
	flags.DurationVar(&f.timeout, "timeout", 0, "give up after this `TIME`, resends included (default 1m0s)")
	flags.StringVar(&f.ca, "ca", "", "trust the certificates in this PEM `FILE` too, such as those of a push service for tests")
	flags.BoolVar(&f.allowLoopback, "allow-loopback", false, "let endpoints on this machine through, for tests and development")
	return cmd
}

func (a *app) webpushSend(cmd *cobra.Command, f *webpushFlags, path string) error {
	m, wrongMessage := f.message(a, path)
	cfg, wrongConfig := f.config(a, cmd)
	if err := together(wrongMessage, wrongConfig); err != nil {
		return err
	}
	data, err := a.readFile(path, largestPayload)
	if err != nil {
		return usage("%w", err)
	}
	s, err := webpush.ParseSubscription(data)
	if err != nil {
		if path == "-" {
			path = "standard input"
		}
		return usage("%s: %w", path, err)
	}
	client, err := webpush.New(cfg)
	if err != nil {
		return usage("%s", webpushProblems(err))
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		client.Close(ctx)
	}()
	receipt, err := client.Send(cmd.Context(), s, m)
	v := newWebpushVerdict(receipt, err)
	if a.json {
		if err := a.printJSON(v); err != nil {
			return err
		}
		return exit(v.exitCode())
	}
	if v.invalid {
		return usage("%s", v.Error)
	}
	a.printWebpush(v)
	return exit(v.exitCode())
}

// config gathers what makes a client; what is wrong with files is said here, the
// rest by the package.
func (f *webpushFlags) config(a *app, cmd *cobra.Command) (cfg webpush.Config, err error) {
	var wrong []error
	if f.key == "" {
		wrong = append(wrong, usage("--key is missing: the VAPID key file; aviso webpush keys makes one"))
	} else if cfg.Key, err = webpush.LoadKey(f.key); err != nil {
		wrong = append(wrong, usage("--key: %w", trimmed{err}))
	}
	if f.subject == "" {
		wrong = append(wrong, usage("--subject is missing: give mailto:name@example.com or an https: address where you can be reached"))
	}
	if cmd.Flags().Changed("timeout") && f.timeout <= 0 {
		wrong = append(wrong, usage("--timeout is %v; it has to be a time like 30s", f.timeout))
	}
	if f.ca != "" {
		if cfg.ExtraRoots, err = readRoots(f.ca); err != nil {
			wrong = append(wrong, usage("--ca: %w", err))
		}
	}
	if err := together(wrong...); err != nil {
		return cfg, err
	}
	cfg.Subject, cfg.Timeout, cfg.ResendUnknown, cfg.AllowLoopback = f.subject, f.timeout, f.resendUnknown, f.allowLoopback
	if f.knownServices {
		cfg.Hosts = webpush.KnownPushServices()
	}
	if a.verbose > 0 { // without it, the verdict says the same
		cfg.Logger = a.logger()
	}
	return cfg, nil
}

// together makes one error of those that are there, all of them of whoever wrote
// the command line.
func together(list ...error) error {
	var all error
	for _, err := range list {
		switch {
		case all == nil:
			all = err
		case err != nil:
			all = usage("%w; %w", all, err)
		}
	}
	return all
}

func (f *webpushFlags) message(a *app, subscription string) (*webpush.Message, error) {
	m := &webpush.Message{Empty: f.empty, Urgency: webpush.Urgency(f.urgency), Topic: f.topic}
	var err error
	if m.TTL, err = parseTTL(f.ttl); err != nil {
		return nil, err
	}
	shown := f.title != "" || f.body != "" || f.navigate != "" || f.tag != "" || f.icon != ""
	switch {
	case f.payload != "" && (shown || f.empty):
		return nil, usage("--payload is the whole message, and excludes --empty, --title, --body, --navigate, --tag and --icon")
	case f.empty && shown:
		return nil, usage("--empty excludes --title, --body, --navigate, --tag and --icon")
	case f.payload == "-" && subscription == "-":
		return nil, usage("standard input can be the subscription or the payload, not both")
	case f.payload != "":
		if m.Payload, err = a.readFile(f.payload, largestPayload); err != nil {
			return nil, usage("--payload: %w", err)
		}
		if len(m.Payload) == 0 {
			return nil, usage("--payload: %s is empty; to send a message without payload, use --empty", f.payload)
		}
		if _, err := webpush.CheckDeclarative(m.Payload); err != nil {
			a.warnf("browsers will take it for an ordinary message: %v", err)
		}
	case shown:
		d := webpush.Declarative{Title: f.title, Body: f.body, Navigate: f.navigate, Tag: f.tag, Icon: f.icon}
		if m.Payload, err = d.Payload(); err != nil {
			return nil, usage("%s", webpushProblems(err))
		}
	case !f.empty:
		return nil, usage("there is nothing to send: give --title and --navigate, or --payload, or --empty")
	}
	return m, nil
}

// parseTTL reads seconds, a time like 1h, or days.
func parseTTL(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	wrong := usage("--ttl is %q; it has to be seconds or a time like 90s, 1h or 7d, at most 30d, or 0 for now or never", text)
	ttl, err := time.ParseDuration(text)
	if seconds, e := strconv.ParseUint(text, 10, 32); e == nil {
		ttl, err = time.Duration(seconds)*time.Second, nil
	} else if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		ttl = time.Duration(n) * 24 * time.Hour
	}
	switch {
	case err != nil || ttl < 0 || ttl > webpush.MaxTTL || 0 < ttl && ttl < time.Second:
		return 0, wrong
	case ttl == 0:
		return webpush.DeliverNow, nil
	}
	return ttl, nil
}

// webpushFields are the names of the package's fields in the words of those who
// write flags.
var webpushFields = map[string]string{
	"Subject": "--subject", "ExtraRoots": "--ca", "Timeout": "--timeout", "TTL": "--ttl", "Urgency": "--urgency", "Topic": "--topic",
	"Title": "--title", "Body": "--body", "Navigate": "--navigate", "Icon": "--icon", "Payload": "the payload", "": "the message",
}

// webpushProblems lists what is wrong, by flag.
func webpushProblems(err error) string {
	invalid, ok := errors.AsType[*webpush.InvalidError](err)
	if !ok {
		return oneLine(err.Error())
	}
	var list []string
	for _, p := range invalid.Problems {
		field, ok := webpushFields[p.Field]
		if !ok {
			field = p.Field
		}
		list = append(list, field+" "+p.Message)
	}
	return strings.Join(list, "; ")
}

// webpushVerdict is the outcome of a message as it is printed.
type webpushVerdict struct {
	Host     string          `json:"host"`
	Outcome  webpush.Outcome `json:"outcome"`
	ID       string          `json:"apns_id,omitempty"`
	Attempts int             `json:"attempts"`
	Status   int             `json:"status,omitempty"`
	Reason   webpush.Reason  `json:"reason,omitempty"`
	// Gone says that the subscription can be deleted.
	Gone   bool           `json:"gone,omitempty"`
	Action webpush.Action `json:"action,omitempty"`
	// RetryAfter is in seconds.
	RetryAfter int64 `json:"retry_after,omitempty"`
	// Error says why it was not accepted; Detail what the push service says beside
	// its reason; Advice what to do.
	Error  string `json:"error,omitempty"`
	Detail string `json:"detail,omitempty"`
	Advice string `json:"advice,omitempty"`

	invalid bool // it was refused before anything was sent
}

func newWebpushVerdict(r webpush.Receipt, err error) webpushVerdict {
	v := webpushVerdict{Host: r.Host, Outcome: webpush.OutcomeOf(err), ID: r.ID, Attempts: r.Attempts, Status: r.Status}
	if err == nil {
		return v
	}
	switch v.Outcome {
	case webpush.Rejected:
		e, _ := errors.AsType[*webpush.RejectedError](err)
		info := e.Reason.Info(e.Status)
		v.Reason, v.Gone, v.Action, v.Detail = e.Reason, e.Gone(), info.Action, e.Detail
		v.Error, v.Advice = info.Meaning, info.Advice
		v.RetryAfter = int64((e.RetryAfter + time.Second - 1) / time.Second)
	case webpush.NotSent:
		e, _ := errors.AsType[*webpush.NotSentError](err)
		v.Error = oneLine(e.Cause.Error())
		if invalid, ok := errors.AsType[*webpush.InvalidError](err); ok {
			v.invalid, v.Error = true, webpushProblems(invalid)
		}
		if forbidden, ok := errors.AsType[*webpush.ForbiddenError](err); ok {
			v.invalid, v.Error = true, strings.ReplaceAll(strings.ReplaceAll(forbidden.Error(), "Config.AllowLoopback", "--allow-loopback"), "those of Config.Hosts", "those of --known-services")
		}
	default:
		v.Error = oneLine(err.Error())
		v.Advice = "It may or may not have been taken. Send it again only if a duplicate does no harm."
		if e, ok := errors.AsType[*webpush.UnknownError](err); ok {
			v.Error = oneLine(e.Cause.Error())
		}
	}
	return v
}

func (v *webpushVerdict) exitCode() int {
	switch {
	case v.invalid:
		return ExitUsage
	case v.Outcome == webpush.Accepted:
		return ExitOK
	case v.Outcome == webpush.Rejected:
		return ExitRejected
	}
	return ExitUnreachable
}

// printWebpush prints for people.
func (a *app) printWebpush(v webpushVerdict) {
	colour := map[webpush.Outcome]string{webpush.Accepted: green, webpush.Rejected: red, webpush.NotSent: red, webpush.Unknown: yellow}[v.Outcome]
	word := strings.ReplaceAll(v.Outcome.String(), "_", " ")
	if v.Outcome == webpush.Accepted {
		word = "accepted by " + v.Host
	}
	a.printf("  %s", a.paint(a.stdout, colour, word))
	if v.Outcome == webpush.Rejected {
		a.printf(": %s", strings.TrimSpace(strconv.Itoa(v.Status)+" "+string(v.Reason)))
	}
	a.printf("\n")
	line := func(name, text string) {
		if text != "" {
			a.printf("    %-15s %s\n", name, text)
		}
	}
	if v.Outcome != webpush.Accepted {
		line("push service", v.Host)
	}
	line("apns-id", v.ID)
	if v.Attempts > 1 {
		line("attempts", strconv.Itoa(v.Attempts))
	}
	line("why", v.Error)
	line("it says", v.Detail)
	if v.RetryAfter > 0 {
		line("retry after", (time.Duration(v.RetryAfter) * time.Second).String())
	}
	line("what to do", whatToDo(v.Action, v.Advice))
}
