package webpush

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"time"
)

// Declarative is a message that the browser shows by itself, without running the
// page's service worker: Safari 18.4 on iOS and iPadOS, 18.5 on macOS (the W3C's
// Push API, "declarative push message"). Browsers that do not know it hand the
// same JSON to the service worker, which can show it.
//
// A browser that finds Title or Navigate missing treats the whole message as an
// ordinary one, without a word; [Declarative.Payload] refuses it instead. Safari
// ignores some members, Actions among them.
type Declarative struct {
	// Title is the first line. Required.
	Title string
	// Navigate is opened when the user taps the notification: an absolute https:
	// or http: URL. Required.
	Navigate string

	Body string
	// Tag replaces an earlier notification with the same tag.
	Tag string
	// Lang is a language tag such as en or pt-BR, and Dir is auto, ltr or rtl.
	Lang, Dir string
	// Image, Icon and Badge are URLs of pictures.
	Image, Icon, Badge string
	// Timestamp is when what it tells about happened; zero leaves it out.
	Timestamp time.Time
	// Vibrate is a pattern: milliseconds on, off, on and so on. It excludes Silent.
	Vibrate []int
	// Renotify makes itself felt again when it replaces another; it needs a Tag.
	Renotify bool
	// Silent makes no sound and does not vibrate.
	Silent bool
	// RequireInteraction keeps it until the user does something.
	RequireInteraction bool
	// Data is for the service worker, any JSON.
	Data json.RawMessage
	// Actions are buttons.
	Actions []Button

	// Mutable lets the service worker's push event replace the notification.
	Mutable bool
	// AppBadge is the number on the web app's icon; 0 takes it away and nil leaves
	// it as it is. It is written as WebKit's example has it, as text inside the
	// notification; the W3C's draft does not have it there.
	AppBadge *int
}

// Button is a button of a notification. All but Icon are required.
type Button struct {
	// Action names it for the service worker.
	Action string
	Title  string
	// Navigate is opened by the button: an absolute URL, as in Declarative.
	Navigate string
	Icon     string
}

// magic is what makes a message declarative: the number of RFC 8030.
const magic = 8030

// The JSON of a declarative message.
type (
	declarativeJSON struct {
		WebPush      int              `json:"web_push"`
		Notification notificationJSON `json:"notification"`
		Mutable      bool             `json:"mutable,omitempty"`
	}
	notificationJSON struct {
		Title              string          `json:"title"`
		Navigate           string          `json:"navigate"`
		Body               string          `json:"body,omitempty"`
		Tag                string          `json:"tag,omitempty"`
		Lang               string          `json:"lang,omitempty"`
		Dir                string          `json:"dir,omitempty"`
		Image              string          `json:"image,omitempty"`
		Icon               string          `json:"icon,omitempty"`
		Badge              string          `json:"badge,omitempty"`
		Timestamp          int64           `json:"timestamp,omitempty"`
		Vibrate            []int           `json:"vibrate,omitempty"`
		Renotify           bool            `json:"renotify,omitempty"`
		Silent             bool            `json:"silent,omitempty"`
		RequireInteraction bool            `json:"requireInteraction,omitempty"`
		Data               json.RawMessage `json:"data,omitempty"`
		Actions            []actionJSON    `json:"actions,omitempty"`
		AppBadge           string          `json:"app_badge,omitempty"`
	}
	actionJSON struct {
		Action   string `json:"action"`
		Title    string `json:"title"`
		Navigate string `json:"navigate"`
		Icon     string `json:"icon,omitempty"`
	}
)

// Payload returns the JSON for [Message.Payload], or an [*InvalidError] with
// everything that is wrong, its length included.
func (d *Declarative) Payload() ([]byte, error) {
	var p problems
	d.check(&p)
	var payload []byte
	if len(p) == 0 { // otherwise it might not even be JSON
		var err error
		if payload, err = d.encode(); err != nil {
			p.add("Data", "is not JSON")
		}
		if len(payload) > MaxPayload {
			p.add("", "has %d bytes as JSON, and %d is the limit; shorten Body or Data", len(payload), MaxPayload)
		}
	}
	if err := p.in("declarative message"); err != nil {
		return nil, err
	}
	return payload, nil
}

func (d *Declarative) encode() ([]byte, error) {
	n := notificationJSON{
		Title: d.Title, Navigate: d.Navigate, Body: d.Body, Tag: d.Tag, Lang: d.Lang, Dir: d.Dir,
		Image: d.Image, Icon: d.Icon, Badge: d.Badge, Vibrate: d.Vibrate, Renotify: d.Renotify,
		Silent: d.Silent, RequireInteraction: d.RequireInteraction, Data: d.Data,
	}
	if !d.Timestamp.IsZero() {
		n.Timestamp = d.Timestamp.UnixMilli()
	}
	if d.AppBadge != nil {
		n.AppBadge = strconv.Itoa(*d.AppBadge)
	}
	for _, a := range d.Actions {
		n.Actions = append(n.Actions, actionJSON(a))
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // six bytes for each < would count
	if err := e.Encode(declarativeJSON{magic, n, d.Mutable}); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

var languageTag = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`)

// longestVibration bounds one step of a pattern; browsers cut longer ones.
const longestVibration = 10_000

func (d *Declarative) check(p *problems) {
	if d == nil {
		p.add("", "is missing")
		return
	}
	if d.Title == "" {
		p.add("Title", "is missing; without it the browser takes the message for an ordinary one")
	}
	navigable(p, "Navigate", d.Navigate)
	if d.Lang != "" && !languageTag.MatchString(d.Lang) {
		p.add("Lang", "is not a language tag such as en or pt-BR (BCP 47)")
	}
	switch d.Dir {
	case "", "auto", "ltr", "rtl":
	default:
		p.add("Dir", "is none of auto, ltr and rtl")
	}
	for _, picture := range []struct{ field, url string }{{"Image", d.Image}, {"Icon", d.Icon}, {"Badge", d.Badge}} {
		if _, err := url.Parse(picture.url); err != nil {
			p.add(picture.field, "is not a URL")
		}
	}
	if !d.Timestamp.IsZero() && d.Timestamp.UnixMilli() <= 0 {
		p.add("Timestamp", "is before 1970")
	}
	for _, ms := range d.Vibrate {
		if ms < 0 || ms > longestVibration {
			p.add("Vibrate", "has a step of %d ms; between 0 and %d are possible", ms, longestVibration)
			break
		}
	}
	if d.Silent && len(d.Vibrate) > 0 {
		p.add("Silent", "excludes Vibrate")
	}
	if d.Renotify && d.Tag == "" {
		p.add("Renotify", "needs a Tag: it is about replacing an earlier notification")
	}
	if len(d.Data) > 0 && !json.Valid(d.Data) {
		p.add("Data", "is not JSON")
	}
	if d.AppBadge != nil && *d.AppBadge < 0 {
		p.add("AppBadge", "is negative; 0 takes the number away")
	}
	for i, a := range d.Actions {
		field := fmt.Sprintf("Actions[%d].", i)
		if a.Action == "" {
			p.add(field+"Action", "is missing")
		}
		if a.Title == "" {
			p.add(field+"Title", "is missing")
		}
		navigable(p, field+"Navigate", a.Navigate)
		if _, err := url.Parse(a.Icon); err != nil {
			p.add(field+"Icon", "is not a URL")
		}
	}
}

func navigable(p *problems, field, target string) {
	u, err := url.Parse(target)
	switch {
	case target == "":
		p.add(field, "is missing; without it the browser takes the message for an ordinary one")
	case err != nil:
		p.add(field, "is not a URL")
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		p.add(field, "is not an absolute https: URL; a path alone has nothing to start from when no page is open")
	}
}
