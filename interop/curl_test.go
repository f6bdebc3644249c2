package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func itoa[N int | int64](n N) string { return strconv.FormatInt(int64(n), 10) }

// TestSimulatorAndCurl asks as a shell script would: provider tokens made by
// openssl, requests by curl.
func TestSimulatorAndCurl(t *testing.T) {
	keys := makePKI(t)
	s := simulate(t, keys)
	now := time.Now()
	good := providerToken(t, keys.signingKey, now)
	other := filepath.Join(keys.dir, "other.p8")
	run(t, "", "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", other)

	accepted := 0
	for _, c := range []struct {
		name   string
		device string
		args   []string
		bearer string
		status int
		reason string
	}{
		{"accepted", activeDevice, nil, good, 200, ""},
		{"all fields", activeDevice, []string{
			"-H", "apns-id: 8a8f2c9e-6c9e-4b3b-9b0a-2d0f3f1c5a77", "-H", "apns-priority: 5", "-H", "apns-collapse-id: x",
			"-H", "apns-expiration: " + itoa(now.Add(time.Hour).Unix()),
		}, good, 200, ""},
		{"bad device token", "xyz", nil, good, 400, "BadDeviceToken"},
		{"empty", activeDevice, []string{"--data-binary", ""}, good, 400, "PayloadEmpty"},
		{"bad priority", activeDevice, []string{"-H", "apns-priority: 7"}, good, 400, "BadPriority"},
		{"another topic", activeDevice, []string{"-H", "apns-topic: com.example.other"}, good, 400, "TopicDisallowed"},
		{"fields twice", activeDevice, []string{"-H", "apns-priority: 10", "-H", "apns-priority: 5"}, good, 400, "DuplicateHeaders"},
		{"no provider token", activeDevice, nil, "", 403, "MissingProviderToken"},
		{"signed by openssl dgst, as Apple's page has it", activeDevice, nil, strings.TrimSpace(run(t, "", "bash", "testdata/provider-token.sh", keys.signingKey, keyID, teamID, itoa(now.Unix()), "der")), 200, ""},
		{"another key", activeDevice, nil, providerToken(t, other, now), 403, "InvalidProviderToken"},
		{"an old provider token", activeDevice, nil, providerToken(t, keys.signingKey, now.Add(-2*time.Hour)), 403, "ExpiredProviderToken"},
		{"GET", activeDevice, []string{"-X", "GET"}, good, 405, "MethodNotAllowed"},
		{"bad path", "x/y", nil, good, 404, "BadPath"},
		{"unregistered", unregisteredDevice, nil, good, 410, "Unregistered"},
		{"too large", activeDevice, []string{"--data-binary", `{"aps":{"alert":"` + strings.Repeat("x", 4096) + `"}}`}, good, 413, "PayloadTooLarge"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := []string{
				"--silent", "--show-error", "--http2", "--max-time", "10", "--cacert", s.ca, "--include",
				"--write-out", "\n%{http_version} %{http_code}",
				"-H", "content-type:", "-H", "apns-push-type: alert", "https://" + s.addr + "/3/device/" + c.device,
			}
			if !strings.Contains(strings.Join(c.args, " "), "apns-topic") {
				args = append(args, "-H", "apns-topic: "+bundleID)
			}
			if !strings.Contains(strings.Join(c.args, " "), "--data-binary") {
				args = append(args, "--data-binary", payload)
			}
			if c.bearer != "" {
				args = append(args, "-H", "authorization: bearer "+c.bearer)
			}
			head, rest, _ := strings.Cut(run(t, "", "curl", append(args, c.args...)...), "\r\n\r\n")
			body, summary, _ := strings.Cut(rest, "\n")
			if summary != fmt.Sprintf("2 %d", c.status) {
				t.Errorf("curl says %q, want HTTP/2 and %d\n%s", summary, c.status, head)
			}
			if !regexp.MustCompile(`(?m)^apns-id: [0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\r?$`).MatchString(head) {
				t.Errorf("no apns-id in\n%s", head)
			}
			if c.status == http.StatusOK {
				accepted++
				if body != "" {
					t.Errorf("body %q", body)
				}
				return
			}
			var answer struct {
				Reason    string
				Timestamp int64
			}
			if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Reason != c.reason {
				t.Errorf("body %q, want reason %s (%v)", body, c.reason, err)
			}
			if c.status == http.StatusGone && answer.Timestamp != unregisteredAt.UnixMilli() {
				t.Errorf("timestamp %d, want %d", answer.Timestamp, unregisteredAt.UnixMilli())
			}
		})
	}
	t.Run("client certificate", func(t *testing.T) {
		got := run(t, "", "curl", "--silent", "--show-error", "--http2", "--max-time", "10", "--cacert", s.ca, "--output", "/dev/null",
			"--write-out", "%{http_version} %{http_code}", "--cert", keys.clientCert, "--key", keys.clientKey,
			"-H", "apns-topic: "+bundleID, "--data-binary", payload, "https://"+s.addr+"/3/device/"+activeDevice)
		if got != "2 200" {
			t.Errorf("curl says %q", got)
		}
		accepted++
	})
	s.want(t, accepted)
	var recorded struct {
		Pushes []struct{ Payload json.RawMessage }
	}
	s.call(t, "GET", "/sim/v1/pushes?outcome=accepted&device_token="+activeDevice, nil, &recorded)
	if len(recorded.Pushes) != accepted || string(recorded.Pushes[0].Payload) != payload {
		t.Errorf("recorded: %s", recorded.Pushes)
	}
}

// TestSimulatorAndH2load fills four connections as far as they allow.
func TestSimulatorAndH2load(t *testing.T) {
	const n = 20_000
	keys := makePKI(t)
	s := simulate(t, keys)
	body := writeFile(t, filepath.Join(keys.dir, "payload.json"), payload)
	// The first request of a connection finds a limit of one stream; h2load
	// has to follow the SETTINGS that come with the first acceptance.
	out := run(t, "", "h2load", "-n", itoa(n), "-c", "4", "-m", "200", "-d", body,
		"-H", "apns-topic: "+bundleID, "-H", "apns-push-type: alert",
		"-H", "authorization: bearer "+providerToken(t, keys.signingKey, time.Now()),
		"https://"+s.addr+"/3/device/"+activeDevice)
	// It does not wait for SETTINGS: up to 100 streams of a connection cross with them.
	if !strings.Contains(out, fmt.Sprintf("status codes: %d 2xx, 0 3xx, 0 4xx, 0 5xx", n)) {
		t.Errorf("of %d requests some failed:\n%s", n, out)
	}
	for _, line := range lines(out) {
		if strings.HasPrefix(line, "finished in") {
			t.Log(line)
		}
	}
	s.want(t, n)
}
