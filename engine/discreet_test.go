package engine

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// Of a cluster's URLs nothing but hosts and ports is ever said.
func TestHosts(t *testing.T) {
	for urls, want := range map[string]string{
		"nats://a:4222":                           "a:4222",
		"nats://me:geheim@a:4222, tls://b/":       "a:4222, b",
		"geheim@[::1]:4222":                       "[::1]:4222",
		"nats://me:gehe,im@a:4222":                "(no host and port), a:4222",
		"nats://me:geheim":                        "(no host and port)",
		"nats://me:ge@heim@a.example.com:1,c:99x": "a.example.com:1, (no host and port)",
	} {
		if got := hosts(urls); got != want {
			t.Errorf("%s: %q, not %q", urls, got, want)
		}
	}
}

func TestDiscreet(t *testing.T) {
	const urls = "nats://chef:ge%40heim@a:4222,nats://schluessel@b:4222"
	for _, text := range []string{"no way to " + urls, "chef may not", "wrong: ge@heim", "ge%40heim", "schluessel@b"} {
		got := discreet(urls, errors.New(text)).Error()
		for _, secret := range []string{"chef", "heim", "schluessel"} {
			if strings.Contains(got, secret) {
				t.Errorf("%q became %q", text, got)
			}
		}
	}
	if err := discreet(urls, fmt.Errorf("chef: %w", nats.ErrAuthorization)); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("%v is not what it was", err)
	}
	if err := discreet(urls, nats.ErrNoServers); err != nats.ErrNoServers {
		t.Errorf("%v", err)
	}
	wrong := strings.ReplaceAll("nats://chef:50_zz@a:4222", "_", "%")
	_, malformed := url.Parse(wrong)
	if err := discreet(wrong, malformed); strings.Contains(err.Error(), "zz") || !strings.Contains(err.Error(), "%40") {
		t.Errorf("%v", err)
	}
}
