package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/broadcast"
)

// TestSimulatorChannelsAndCurl goes through Apple's channel API as a shell script
// would.
func TestSimulatorChannelsAndCurl(t *testing.T) {
	keys := makePKI(t)
	s := simulate(t, keys)
	bearer := providerToken(t, keys.signingKey, time.Now())
	// ask returns the status, a field of the answer, and its body.
	ask := func(path, field string, args ...string) (status, value, body string) {
		t.Helper()
		out := run(t, "", "curl", append([]string{
			"--silent", "--show-error", "--http2", "--max-time", "10", "--cacert", s.ca, "--include",
			"-H", "authorization: bearer " + bearer, "-H", "content-type:", "https://" + s.addr + path,
		}, args...)...)
		head, body, _ := strings.Cut(out, "\r\n\r\n")
		status, fields, _ := strings.Cut(head, "\r\n")
		for line := range strings.SplitSeq(fields, "\r\n") {
			if name, v, _ := strings.Cut(line, ": "); name == field {
				value = v
			}
		}
		return strings.TrimSpace(strings.TrimPrefix(status, "HTTP/2 ")), value, body
	}
	channels := "/1/apps/" + bundleID + "/channels"
	status, id, body := ask(channels, "apns-channel-id", "--data-binary", `{"message-storage-policy":1,"push-type":"LiveActivity"}`)
	if status != "201" || id == "" || body != "" {
		t.Fatalf("create: %s %q %q", status, id, body)
	}
	const requestID = "2288cf3f-70d8-46a6-97d7-dd5d00867127"
	if status, echo, body := ask(channels, "apns-request-id", "-H", "apns-channel-id: "+id, "-H", "apns-request-id: "+requestID); status != "200" || echo != requestID ||
		body != `{"message-storage-policy":1,"push-type":"LiveActivity"}` {
		t.Errorf("read: %s %q %q", status, echo, body)
	}
	if status, _, body := ask("/1/apps/"+bundleID+"/all-channels", ""); status != "200" || body != `{"channels":["`+id+`"]}` {
		t.Errorf("list: %s %q", status, body)
	}
	broadcast := []string{
		"-H", "apns-channel-id: " + id, "-H", "apns-push-type: Liveactivity", "-H", "apns-priority: 5", "-H", "apns-expiration: 0",
		"--data-binary", `{"aps":{"timestamp":1732200060,"event":"update","content-state":{"score":"2-1"}}}`,
	}
	if status, unique, body := ask("/4/broadcasts/apps/"+bundleID, "apns-unique-id", broadcast...); status != "200" || unique == "" || body != "" {
		t.Errorf("broadcast: %s %q %q", status, unique, body)
	}
	if status, _, body := ask("/4/broadcasts/apps/"+bundleID, "", broadcast[2:]...); status != "400" || body != `{"reason":"MissingChannelId"}` {
		t.Errorf("without a channel: %s %q", status, body)
	}
	if status, _, body := ask("/4/broadcasts/apps/com.example.other", "", broadcast...); status != "403" || body != `{"reason":"TopicMismatch"}` {
		t.Errorf("another app: %s %q", status, body)
	}
	if status, _, body := ask(channels, "", "-X", "DELETE", "-H", "apns-channel-id: "+id); status != "204" || body != "" {
		t.Errorf("delete: %s %q", status, body)
	}
	if status, _, body := ask(channels, "", "-H", "apns-channel-id: "+id); status != "400" || body != `{"reason":"ChannelNotRegistered"}` {
		t.Errorf("read again: %s %q", status, body)
	}
	s.want(t, 1)
}

// TestSimulatorChannelsAndNode has the two libraries of Node.js that know channels
// make one, send to a hundred devices through it, and delete it.
func TestSimulatorChannelsAndNode(t *testing.T) {
	const devices = 100
	keys := makePKI(t)
	var list []string
	for i := range devices {
		list = append(list, deviceToken(i))
	}
	for _, script := range []string{"node-apn-channels.cjs", "hapns-channels.mjs"} {
		for name, credential := range map[string]map[string]any{
			"provider token": {"key": keys.signingKey, "keyId": keyID, "teamId": teamID},
			"certificate":    {"cert": keys.clientCert, "certKey": keys.clientKey},
		} {
			if script == "hapns-channels.mjs" && name == "certificate" {
				continue // its Live Activities want a provider token
			}
			t.Run(script+" with "+name, func(t *testing.T) {
				s := simulate(t, keys)
				settings := map[string]any{"devices": list, "subscribe": s.api + "/sim/v1/activities"}
				for k, v := range credential {
					settings[k] = v
				}
				result := runNode(t, s, script, settings)
				if result.Sent != 1 || result.Policy != 1 || !slices.Equal(result.All, []string{result.Channel}) || !result.Unique {
					t.Errorf("%+v", result)
				}
				if len(result.Failed) != 1 || result.Failed[0].Device != "read" ||
					!strings.HasPrefix(result.Failed[0].Reason, "ChannelNotRegistered") && !strings.Contains(result.Failed[0].Error, "ChannelNotRegistered") {
					t.Errorf("failed: %+v", result.Failed)
				}
				var seen struct {
					Activities []struct {
						ContentState json.RawMessage `json:"content_state"`
					}
				}
				s.call(t, "GET", "/sim/v1/activities?channel_id="+url.QueryEscape(result.Channel), nil, &seen)
				reached := 0
				for _, a := range seen.Activities {
					if string(a.ContentState) == `{"score":"2-1"}` {
						reached++
					}
				}
				if reached != devices {
					t.Errorf("%d of %d devices show the update", reached, len(seen.Activities))
				}
				s.want(t, 1)
			})
		}
	}
}

// channelServer is the channel API over net/http, written from Apple's page and
// sharing nothing with the simulator.
type channelServer struct {
	mu   sync.Mutex
	made []string
	sent []http.Header
	bad  []string
}

func (s *channelServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	fail := func(format string, args ...any) {
		s.bad = append(s.bad, fmt.Sprintf(format, args...))
		w.WriteHeader(http.StatusTeapot)
	}
	w.Header().Set("apns-request-id", r.Header.Get("apns-request-id"))
	id := r.Header.Get("apns-channel-id")
	switch at := r.Method + " " + r.URL.Path; at {
	case "POST /1/apps/" + bundleID + "/channels":
		var in map[string]any
		if json.Unmarshal(body, &in) != nil || len(in) != 2 || in["push-type"] != "LiveActivity" || in["message-storage-policy"] != float64(1) {
			fail("create with %s", body)
			return
		}
		id = fmt.Sprintf("QUJD%04d", len(s.made))
		s.made = append(s.made, id)
		w.Header().Set("apns-channel-id", id)
		w.WriteHeader(http.StatusCreated)
	case "GET /1/apps/" + bundleID + "/channels":
		if !slices.Contains(s.made, id) || len(body) > 0 {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"reason":"ChannelNotRegistered"}`)
			return
		}
		io.WriteString(w, `{"message-storage-policy":1,"push-type":"LiveActivity"}`)
	case "DELETE /1/apps/" + bundleID + "/channels":
		s.made = slices.DeleteFunc(s.made, func(other string) bool { return other == id })
		w.WriteHeader(http.StatusNoContent)
	case "GET /1/apps/" + bundleID + "/all-channels":
		json.NewEncoder(w).Encode(map[string]any{"channels": s.made})
	case "POST /4/broadcasts/apps/" + bundleID:
		if r.Header.Get("apns-topic") != "" || r.Header.Get("apns-id") != "" || len(body) == 0 {
			fail("broadcast with %v", r.Header)
			return
		}
		s.sent = append(s.sent, r.Header.Clone())
		w.Header().Set("apns-unique-id", "unique")
	default:
		fail("%s", at)
	}
}

// TestClientChannelsAndNetHTTP has our client manage channels at, and broadcast
// through, a server that is not ours.
func TestClientChannelsAndNetHTTP(t *testing.T) {
	keys := makePKI(t)
	h := &channelServer{}
	server := goServer(t, keys, h, nil)
	key, err := auth.LoadSigningKey(keys.signingKey, "")
	if err != nil {
		t.Fatal(err)
	}
	cfg := apns.Config{Key: key, TeamID: teamID, BundleID: bundleID, Endpoint: host(server), ExtraRoots: readFile(t, keys.ca)}
	m, err := broadcast.NewManager(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	defer m.Close(ctx)
	const n = 3000
	for range n {
		if _, err := m.Create(ctx, broadcast.StoreLatest); err != nil {
			t.Fatal(err)
		}
	}
	list, err := m.List(ctx)
	if err != nil || len(list) != n {
		t.Fatalf("%d channels: %v", len(list), err)
	}
	ch, err := m.Read(ctx, list[7])
	if err != nil || ch.Policy != broadcast.StoreLatest {
		t.Errorf("%+v %v", ch, err)
	}
	client := newClient(t, keys, host(server), nil)
	accepted := 0
	for r := range client.PushAll(ctx, func(yield func(*apns.Notification) bool) {
		for i := range n {
			note := &apns.Notification{
				ChannelID: list[i], Payload: []byte(`{"aps":{"timestamp":1732200060,"event":"update","content-state":{}}}`),
				Priority: apns.PriorityImmediate, Expiration: apns.ExpireAt(time.Now().Add(time.Hour)),
			}
			if !yield(note) {
				return
			}
		}
	}) {
		if r.Err != nil || r.Receipt.UniqueID != "unique" {
			t.Fatal(r.Err)
		}
		accepted++
	}
	for _, header := range h.sent {
		for name, want := range map[string]string{"apns-priority": "10", "apns-push-type": "liveactivity"} {
			if header.Get(name) != want {
				t.Fatalf("%s: %q", name, header.Get(name))
			}
		}
	}
	if err := m.Delete(ctx, list[7]); err != nil {
		t.Error(err)
	}
	if _, err := m.Read(ctx, list[7]); !errors.Is(err, apns.ReasonChannelNotRegistered) {
		t.Error(err)
	}
	if accepted != n || len(h.sent) != n || len(h.bad) != 0 {
		t.Errorf("%d accepted, %d arrived, %v", accepted, len(h.sent), h.bad)
	}
}
