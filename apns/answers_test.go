package apns_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
)

// Servers in Apple's place write the same number and the same field in other ways. None
// costs the reason, nor the time where it can be read.
func TestAnswersInOtherForms(t *testing.T) {
	const since = 1796078869000
	var body, after string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusGone
		if after != "" {
			w.Header().Set("Retry-After", after)
			status = http.StatusTooManyRequests
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	key, err := auth.GenerateSigningKey("ABC123DEFG")
	if err != nil {
		t.Fatal(err)
	}
	client, err := apns.New(apns.Config{
		Key: key, TeamID: "A1B2C3D4E5", BundleID: "com.example.app", Endpoint: strings.TrimPrefix(server.URL, "https://"), MaxAttempts: 1,
		ExtraRoots: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	push := func() *apns.RejectedError {
		t.Helper()
		_, err := client.Push(t.Context(), &apns.Notification{DeviceToken: "a0b1c2d3", Payload: []byte(hello)})
		rejected, ok := errors.AsType[*apns.RejectedError](err)
		if !ok {
			t.Fatal(err)
		}
		return rejected
	}
	for text, known := range map[string]bool{
		"1796078869000": true, "1796078869000.0": true, "1.796078869e12": true, `"1796078869000"`: true, " 1796078869000 ": true,
		"null": false, "0": false, "-5": false, `"soon"`: false, "{}": false, "1e300": false, "true": false,
	} {
		body = `{"reason":"Unregistered","timestamp":` + text + `}`
		r := push()
		if r.Reason != apns.ReasonUnregistered || r.Since.IsZero() == known || known && r.Since.UnixMilli() != since {
			t.Errorf("%s: %s since %v", text, r.Reason, r.Since)
		}
		if known && !r.DropDeviceToken(time.Time{}) {
			t.Errorf("%s: the device token is kept", text)
		}
	}
	body = `{"reason":"TooManyRequests"}`
	for value, want := range map[string]time.Duration{
		"7": 7 * time.Second, "90000": 24 * time.Hour, "99999999999999999999": 24 * time.Hour, "soon": 0, "-1": 0,
		time.Now().Add(time.Hour).UTC().Format(http.TimeFormat): time.Hour,
	} {
		after = value
		if got := push().RetryAfter; got > want || got < want-5*time.Second {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
