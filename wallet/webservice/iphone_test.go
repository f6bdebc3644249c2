package webservice_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"aviso.example/apnstest"
	"aviso.example/sim"
	"aviso.example/wallet/webservice"
)

// iphone does what Wallet does, and knows the server only through what stands in
// Apple's pages: nothing of it is taken from the package under test.
type iphone struct {
	*testing.T
	apple *apnstest.Server

	device, deviceToken string
	typ, url, secret    string
	orders              bool

	tag     string
	pushes  uint64 // the last one that was looked at
	have    map[string]*copied
	fetched []int // status codes
}

// copied is a package on the device.
type copied struct{ content, modified string }

func (p *iphone) header() http.Header {
	if p.orders {
		return http.Header{"Authorization": {"AppleOrder " + p.secret}}
	}
	return http.Header{"Authorization": {"ApplePass " + p.secret}}
}

func (p *iphone) registration(serial string) string {
	return fmt.Sprintf("%s/v1/devices/%s/registrations/%s/%s", p.url, p.device, p.typ, url.PathEscape(serial))
}

// add puts a package into Wallet, as from a mail, and registers for its updates.
func (p *iphone) add(serial, content string) {
	p.Helper()
	body, _ := json.Marshal(map[string]string{"pushToken": p.deviceToken})
	if a := call(p.T, "POST", p.registration(serial), string(body), p.header()); a.status != 201 {
		p.Fatalf("registering: %d %s", a.status, a.body)
	}
	p.have[serial] = &copied{content: content}
}

// remove throws one away.
func (p *iphone) remove(serial string) {
	p.Helper()
	if a := call(p.T, "DELETE", p.registration(serial), "", p.header()); a.status != 200 {
		p.Fatalf("unregistering: %d %s", a.status, a.body)
	}
	delete(p.have, serial)
}

// wait waits for a push and does what Wallet does then.
func (p *iphone) wait() {
	p.Helper()
	push := p.apple.WaitForPush(p.T, sim.Filter{DeviceToken: p.deviceToken, Topic: p.typ, Outcome: sim.Accepted, After: p.pushes})
	p.pushes = push.Sequence
	if string(push.Payload) != "{}" || push.PushType != "" || push.Fate != sim.FateShown {
		p.Errorf("push %s %q %s", push.Payload, push.PushType, push.Fate)
	}
	if push.Credential.Kind != "certificate" || push.Credential.UID != p.typ {
		p.Errorf("sent with %+v", push.Credential)
	}
	p.update()
}

// update asks what changed, and fetches it.
func (p *iphone) update() {
	p.Helper()
	serials := p.ask()
	for _, serial := range serials {
		if p.have[serial] != nil {
			p.fetch(serial)
		}
	}
}

// ask returns what changed since it asked last, and keeps the tag.
func (p *iphone) ask() []string {
	p.Helper()
	address := fmt.Sprintf("%s/v1/devices/%s/registrations/%s", p.url, p.device, p.typ)
	since := "passesUpdatedSince"
	if p.orders {
		since = "ordersModifiedSince"
	}
	if p.tag != "" {
		address += "?" + since + "=" + url.QueryEscape(p.tag)
	}
	a := call(p.T, "GET", address, "", nil)
	switch a.status {
	case http.StatusNoContent:
		return nil
	case http.StatusOK:
	default:
		p.Fatalf("what changed: %d %s", a.status, a.body)
	}
	var body struct {
		SerialNumbers, OrderIdentifiers []string
		LastUpdated, LastModified       string
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		p.Fatal(err)
	}
	serials, tag := body.SerialNumbers, body.LastUpdated
	if p.orders {
		serials, tag = body.OrderIdentifiers, body.LastModified
	}
	if len(serials) == 0 || tag == "" || tag == p.tag {
		p.Fatalf("what changed: %s after tag %s", a.body, p.tag)
	}
	p.tag = tag
	slices.Sort(serials)
	return serials
}

// fetch gets one package, if it is a new one.
func (p *iphone) fetch(serial string) {
	p.Helper()
	kind, contentType := "passes", "application/vnd.apple.pkpass"
	if p.orders {
		kind, contentType = "orders", "application/vnd.apple.finance.order"
	}
	have := p.have[serial]
	header := p.header()
	if have.modified != "" {
		header.Set("If-Modified-Since", have.modified)
	}
	a := call(p.T, "GET", fmt.Sprintf("%s/v1/%s/%s/%s", p.url, kind, p.typ, url.PathEscape(serial)), "", header)
	p.fetched = append(p.fetched, a.status)
	switch a.status {
	case http.StatusOK:
		if a.header.Get("Content-Type") != contentType {
			p.Errorf("Content-Type %q", a.header.Get("Content-Type"))
		}
		*have = copied{a.body, a.header.Get("Last-Modified")}
	case http.StatusNotModified:
	case http.StatusGone, http.StatusNotFound: // Wallet keeps the old one
	default:
		p.Fatalf("fetching: %d %s", a.status, a.body)
	}
}

// expect compares what Wallet shows, and with which answers it came.
func (p *iphone) expect(serial, content string, answers ...int) {
	p.Helper()
	if got := p.have[serial].content; got != content || !slices.Equal(p.fetched, answers) {
		p.Errorf("%s shows %q after %v, want %q after %v", serial, got, p.fetched, content, answers)
	}
	p.fetched = nil
}

func newIPhone(r *rig, apple *apnstest.Server, device, deviceToken string) *iphone {
	if err := apple.PutDevice(sim.Device{DeviceToken: deviceToken, Environment: sim.Production}); err != nil {
		r.Fatal(err)
	}
	return &iphone{
		T: r.T, apple: apple, device: device, deviceToken: deviceToken,
		typ: r.typ, url: r.url, secret: secret, orders: r.kind == webservice.Orders, have: map[string]*copied{},
	}
}
