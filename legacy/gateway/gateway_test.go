package gateway_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/legacy"
	"aviso.example/sim"
)

// foreign makes the devices of some messages belong to production, which makes
// them a BadDeviceToken in the sandbox.
func (h *house) foreign(messages int, bad func(int) bool) {
	for i := range messages {
		if bad(i) {
			if err := h.apns.PutDevice(sim.Device{DeviceToken: newMessage(i).device(), Environment: sim.Production}); err != nil {
				h.t.Fatal(err)
			}
		}
	}
}

// memory is how many notifications go-libapns remembers. A test on loopback writes
// further ahead than npm's apn does, which remembers 1,000 (interop).
const memory = 10_000

func TestEveryGoodOnceEveryBadReported(t *testing.T) {
	const messages = 4_000
	for _, c := range []struct {
		name string
		bad  func(int) bool
	}{
		{"one in a hundred", func(i int) bool { return i%100 == 37 }},
		{"the first and the last", func(i int) bool { return i == 0 || i == messages-1 }},
		{"ten in a row", func(i int) bool { return i >= 500 && i < 510 }},
		{"none", func(int) bool { return false }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := open(t, nil)
			h.foreign(messages, c.bad)
			p := h.program(memory, messages, c.bad)
			p.run()
			p.checkOnce(t, messages, 8)
			if p.lost > 0 {
				t.Errorf("%d error packets named a notification that the program had forgotten", p.lost)
			}
		})
	}
}

// TestLegacyClient: the client of this module is an old program too.
func TestLegacyClient(t *testing.T) {
	t.Parallel()
	// The last one is bad: its packet says of those before it that they were sent,
	// and nothing has to settle by time.
	const messages, never = 500, time.Hour
	bad := func(i int) bool { return i%100 == 99 }
	h := open(t, nil)
	h.foreign(messages, bad)
	client, err := legacy.New(legacy.Config{
		Certificate: programIdentity().auth, Endpoint: h.address, SettleTime: never,
		ExtraRoots: serverIdentity().pem,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	outcomes := map[apns.Outcome]int{}
	for r := range client.PushAll(t.Context(), func(yield func(*apns.Notification) bool) {
		for i := range messages {
			m := newMessage(i)
			if !yield(&apns.Notification{DeviceToken: m.device(), Payload: []byte(m.payload), Tag: i}) {
				return
			}
		}
	}) {
		outcomes[r.Outcome]++
		if want := bad(r.Notification.Tag.(int)); want != (r.Outcome == apns.Rejected) {
			t.Errorf("message %d: %v, %v", r.Notification.Tag, r.Outcome, r.Err)
		}
		if r.Outcome == apns.Rejected && !errors.Is(r.Err, legacy.StatusInvalidDeviceToken) {
			t.Errorf("message %d: %v", r.Notification.Tag, r.Err)
		}
	}
	for device, pushes := range h.accepted(messages * 99 / 100) {
		if len(pushes) != 1 {
			t.Errorf("%s was accepted %d times", device, len(pushes))
		}
	}
	t.Log(outcomes)
}

// frame0, frame1 and frame2 are the layouts of the protocol description, by hand.
func frame0(deviceToken, payload string) string {
	return "\x00" + long16(deviceToken) + long16(payload)
}

func frame1(identifier, expiration uint32, deviceToken, payload string) string {
	return "\x01" + long32(identifier) + long32(expiration) + long16(deviceToken) + long16(payload)
}

func frame2(items ...string) string {
	all := strings.Join(items, "")
	return "\x02" + long32(uint32(len(all))) + all
}

func item(id byte, data string) string { return string([]byte{id}) + long16(data) }

func long16(s string) string { return string(binary.BigEndian.AppendUint16(nil, uint16(len(s)))) + s }
func long32(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

const hello = `{"aps":{"alert":"hi"}}`

var (
	active  = strings.Repeat("\xaa", 32)
	foreign = strings.Repeat("\xbb", 32)
	gone    = strings.Repeat("\xcc", 32)
	goneAt  = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
)

// devices adds the three above.
func (h *house) devices() {
	for _, d := range []sim.Device{
		{DeviceToken: hex.EncodeToString([]byte(active))},
		{DeviceToken: hex.EncodeToString([]byte(foreign)), Environment: sim.Production},
		{DeviceToken: hex.EncodeToString([]byte(gone)), State: sim.Unregistered, Since: goneAt},
	} {
		if err := h.apns.PutDevice(d); err != nil {
			h.t.Fatal(err)
		}
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	h.devices()
	throttled := strings.Repeat("\xdd", 32)
	for device, fault := range map[string]sim.Fault{
		throttled: {Kind: sim.FaultAnswer, Status: 413, Reason: "PayloadTooLarge"},
	} {
		fault.DeviceToken = hex.EncodeToString([]byte(device))
		if _, err := h.apns.Server.AddFault(fault); err != nil {
			t.Fatal(err)
		}
	}
	id := item(3, long32(7))
	for _, c := range []struct {
		name  string
		bytes string
		want  string // the packet, in hexadecimal digits
	}{
		{"command 0, good", frame0(active, hello), ""},
		{"command 0, of another environment", frame0(foreign, hello), "080800000000"},
		{"command 1, good", frame1(7, 0, active, hello), ""},
		{"command 1, of another environment", frame1(7, 0, foreign, hello), "080800000007"},
		{"command 2, good", frame2(item(1, active), item(2, hello), id), ""},
		{"command 2, in another order, with a priority of 0", frame2(id, item(5, "\x00"), item(2, hello), item(1, active)), ""},
		{"command 2, of another environment", frame2(item(1, foreign), item(2, hello), id), "080800000007"},
		{"command 2, of another environment, without identifier", frame2(item(1, foreign), item(2, hello)), "080800000000"},
		{"identifier 0 is one", frame2(item(1, foreign), item(2, hello), item(3, long32(0))), "080800000000"},
		{"the largest identifier", frame2(item(1, foreign), item(2, hello), item(3, "\xff\xff\xff\xff")), "0808ffffffff"},
		{"unregistered", frame2(item(1, gone), item(2, hello), id), ""},
		{"short device token", frame2(item(1, active[:31]), item(2, hello), id), "080500000007"},
		{"device token of 101 bytes", frame2(item(1, strings.Repeat("a", 101)), item(2, hello), id), "080500000007"},
		{"no device token", frame2(item(2, hello), id), "080200000007"},
		{"no payload", frame2(item(1, active), id), "080400000007"},
		{"empty payload", frame2(item(1, active), item(2, ""), id), "080400000007"},
		{"payload of 4096 bytes", frame2(item(1, active), item(2, padded(4096)), id), ""},
		{"payload of 4097 bytes", frame2(item(1, active), item(2, padded(4097)), id), "080700000007"},
		{"too large for APNs", frame2(item(1, throttled), item(2, hello), id), "080700000007"},
		{"no JSON object", frame2(item(1, active), item(2, "hi"), id), "088000000007"},
		{"command 3", "\x03", "088000000000"},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", "088000000000"},
		{"item 6", frame2(item(1, active), item(2, hello), id, item(6, "")), "088000000007"},
		{"item twice", frame2(item(1, active), item(1, active), item(2, hello), id), "088000000000"},
		{"the earliest failure counts", frame1(1, 0, active, hello) + frame1(2, 0, foreign, hello) + frame1(3, 0, active[:31], hello) + frame1(4, 0, foreign, hello), "080800000002"},
		{"what cannot be read comes after what was rejected", frame1(2, 0, foreign, hello) + "\x09", "080800000002"},
		{"identifiers may repeat", frame1(2, 0, active, hello) + frame1(2, 0, active, hello) + frame1(2, 0, foreign, hello), "080800000002"},
		// What the libraries of the time wrote, from the protocol description and
		// what is known of them.
		{"go-libapns, three at once", frame2(item(1, active), item(2, hello), item(3, long32(1)), item(4, long32(0x7fffffff))) +
			frame2(item(1, foreign), item(2, hello), item(3, long32(2))) + frame2(item(1, active), item(2, hello), item(3, long32(3))), "080800000002"},
		{"go-libapns, with a priority, whose length it got wrong", "\x02" + long32(3+32+3+22+3+4+3+1) + item(1, active) + item(2, hello) + item(3, long32(1)) + "\x05\x00\x04\x0a", "088000000001"},
		{"timehop/apns, with nothing set", frame2(item(1, active), item(2, hello), item(3, long32(0)), item(4, long32(0)), item(5, "\x00")), ""},
		{"java-apns", frame1(1, 0x7fffffff, active, hello) + frame1(2, 0x7fffffff, foreign, hello), "080800000002"},
		{"PHP of 2009", "\x00\x00\x20" + active + "\x00\x16" + hello, ""},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := h.dial(programIdentity())
			if _, err := io.WriteString(conn, c.bytes); err != nil {
				t.Fatal(err)
			}
			conn.CloseWrite()
			if got := hex.EncodeToString(readPacket(t, conn)); got != c.want {
				t.Errorf("the gateway said %q, want %q", got, c.want)
			}
		})
	}
}

func padded(size int) string {
	return `{"aps":{"alert":"` + strings.Repeat("x", size-len(`{"aps":{"alert":""}}`)) + `"}}`
}

// TestWhatAPNsGets: what the binary protocol never said is filled in.
func TestWhatAPNsGets(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	later := uint32(time.Now().Add(time.Hour).Unix())
	number := func(n int64) *int64 { return &n }
	type want struct {
		pushType   string
		priority   int
		expiration *int64
	}
	cases := []struct {
		frame string
		want  want
	}{
		{frame0("0-------------------------------", hello), want{"alert", 10, nil}},
		{frame1(1, later, "1-------------------------------", hello), want{"alert", 10, number(int64(later))}},
		{frame1(1, 0, "2-------------------------------", hello), want{"alert", 10, number(0)}},
		{frame1(1, 1262304000, "3-------------------------------", hello), want{"alert", 10, number(0)}},
		{frame2(item(1, "4-------------------------------"), item(2, hello), item(5, "\x05")), want{"alert", 5, nil}},
		{frame2(item(1, "5-------------------------------"), item(2, hello), item(5, "\x0a")), want{"alert", 10, nil}},
		{frame2(item(1, "6-------------------------------"), item(2, `{"aps":{"content-available":1}}`), item(5, "\x0a")), want{"background", 5, nil}},
		{frame2(item(1, "7-------------------------------"), item(2, `{"aps":{"content-available":1,"badge":3}}`)), want{"alert", 10, nil}},
		{frame2(item(1, "8-------------------------------"), item(2, `{"aps":{"content-available":0}}`)), want{"alert", 10, nil}},
		{frame2(item(1, "9-------------------------------"), item(2, `{"acme":"content-available"}`)), want{"alert", 10, nil}},
	}
	conn := h.dial(programIdentity())
	for _, c := range cases {
		io.WriteString(conn, c.frame)
	}
	for device, pushes := range h.accepted(len(cases)) {
		first, _ := hex.DecodeString(device[:2])
		c := cases[first[0]-'0']
		p := pushes[0]
		if got := (want{p.PushType, p.Priority, p.Expiration}); !cmp.Equal(got, c.want, cmp.AllowUnexported(want{})) {
			t.Errorf("case %c: %s", first[0], cmp.Diff(c.want, got, cmp.AllowUnexported(want{})))
		}
		if p.Topic != apnstest.Topic {
			t.Errorf("case %c: topic %s", first[0], p.Topic)
		}
	}
}
