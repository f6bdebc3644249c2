package sim_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// The worked bytes of the protocol description: device token 00 to 1f, payload
// {"aps":{"alert":"hi"}}, identifier 0x01020304, 1 January 2026, priority 10.
const (
	workedToken   = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	workedPayload = "7b22617073223a7b22616c657274223a226869227d7d"
	worked0       = "00" + "0020" + workedToken + "0016" + workedPayload
	worked1       = "01" + "01020304" + "6955b900" + "0020" + workedToken + "0016" + workedPayload
	worked2       = "02" + "0000004e" + "010020" + workedToken + "020016" + workedPayload + "03000401020304" + "0400046955b900" + "0500010a"
)

// TestWorkedBytes sends each command as Apple's chapters lay it out.
func TestWorkedBytes(t *testing.T) {
	apple, b := startOld(t, func(c *sim.Config) {
		c.Now = func() time.Time { return time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC) }
	})
	o := dialOld(t, apple, b, b.Gateway)
	o.send(unhex(worked0), unhex(worked1), unhex(worked2))
	o.wantSilence()
	pushes := apple.Pushes(sim.Filter{Protocol: sim.ProtocolBinary, DeviceToken: workedToken})
	if len(pushes) != 3 {
		t.Fatalf("%d pushes", len(pushes))
	}
	for i, p := range pushes {
		if p.Outcome != sim.Accepted || p.Fate != sim.FateShown || p.Topic != apple.Topic || p.Credential.UID != apple.Topic ||
			string(p.Payload) != `{"aps":{"alert":"hi"}}` || p.Binary == nil || int(p.Binary.Command) != i || p.Binary.Status != 0 {
			t.Errorf("command %d: %+v", i, p)
		}
		hasID, hasExpiration := p.Binary.Identifier != nil, p.Expiration != nil
		if want := i > 0; hasID != want || hasExpiration != want || want && (*p.Binary.Identifier != 0x01020304 || *p.Expiration != 1767225600) {
			t.Errorf("command %d: identifier %v, expiration %v", i, p.Binary.Identifier, p.Expiration)
		}
		if want := []int{0, 0, 10}[i]; p.Priority != want {
			t.Errorf("command %d: priority %d", i, p.Priority)
		}
	}
	inbox, err := apple.Devices().Inbox(workedToken)
	if err != nil || len(inbox) != 3 || inbox[0].Protocol != sim.ProtocolBinary || inbox[0].Topic != apple.Topic {
		t.Errorf("%+v %v", inbox, err)
	}
}

// TestBinaryStatuses makes each status happen that a server gives by itself.
func TestBinaryStatuses(t *testing.T) {
	good, payload := oldDevice(1), `{"aps":{}}`
	other, foreign, throttled := oldDevice(2), oldDevice(3), oldDevice(4)
	id := uint32(0xfedcba98)
	for name, c := range map[string]struct {
		frame  []byte
		status byte
		id     uint32 // in the packet
		config func(*sim.Config)
		topic  string // of the certificate
	}{
		"throttled device":                {frame: concat(usual(1, throttled, payload), usual(id, throttled, payload)), status: 1, id: id},
		"no device token item":            {frame: command2(item(2, []byte(payload)), item(3, be32(id))), status: 2, id: id},
		"empty device token":              {frame: command1(id, 0, nil, payload), status: 2, id: id},
		"empty device token, command 0":   {frame: command0(nil, payload), status: 2},
		"certificate without topic":       {frame: usual(id, good, payload), status: 3, id: id, topic: "none"},
		"no payload item":                 {frame: command2(item(1, good), item(3, be32(id))), status: 4, id: id},
		"empty payload":                   {frame: usual(id, good, ""), status: 4, id: id},
		"device token of 31 bytes":        {frame: usual(id, good[1:], payload), status: 5, id: id},
		"device token of 33 bytes":        {frame: command0(append(good, 1), payload), status: 5},
		"device token of 65535 bytes":     {frame: command1(id, 0, make([]byte, 65535), payload), status: 5, id: id},
		"any size, too long":              {frame: usual(id, make([]byte, 101), payload), status: 5, id: id, config: anySize},
		"any size, too short":             {frame: usual(id, good[:31], payload), status: 5, id: id, config: anySize},
		"topic too long":                  {frame: usual(id, good, payload), status: 6, id: id, topic: strings.Repeat("a", 300)},
		"payload of 2049 bytes":           {frame: usual(id, good, strings.Repeat(" ", 2049)), status: 7, id: id},
		"payload of 65535 bytes":          {frame: usual(id, good, strings.Repeat(" ", 65535)), status: 7, id: id},
		"payload of 257, early limit":     {frame: command1(id, 0, good, strings.Repeat(" ", 257)), status: 7, id: id, config: earlyLimit},
		"payload over Binary.MaxPayload":  {frame: usual(id, good, strings.Repeat(" ", 4097)), status: 7, id: id, config: large},
		"unknown device, known ones only": {frame: usual(id, oldDevice(9), payload), status: 8, id: id, config: func(c *sim.Config) { c.KnownDevicesOnly = true }},
		"device of the other environment": {frame: usual(id, other, payload), status: 8, id: id},
		"device of another app":           {frame: usual(id, foreign, payload), status: 8, id: id},
		"command 3":                       {frame: []byte{3}, status: 128},
		"command 8":                       {frame: []byte{8, 0, 0, 0, 0, 0}, status: 128},
		"HTTP":                            {frame: []byte("POST / HTTP/1.1\r\n\r\n"), status: 128},
		"priority 0":                      {frame: command2(item(1, good), item(2, []byte(payload)), item(3, be32(id)), item(5, []byte{0})), status: 128, id: id},
		"priority of 4 bytes":             {frame: command2(item(1, good), item(2, []byte(payload)), item(3, be32(id)), item(5, be32(10))), status: 128, id: id},
		"identifier of 3 bytes":           {frame: command2(item(1, good), item(2, []byte(payload)), item(3, []byte{1, 2, 3})), status: 128},
		"expiration of 8 bytes":           {frame: command2(item(3, be32(id)), item(4, make([]byte, 8))), status: 128, id: id},
		"item over the frame's end":       {frame: command2(item(3, be32(id)), []byte{2, 0, 200, '{', '}'}), status: 128, id: id},
		"half an item":                    {frame: command2(item(1, good), []byte{2, 0}), status: 128},
		"two notifications in a frame":    {frame: command2(item(1, good), item(2, []byte(payload)), item(3, be32(id)), item(1, good)), status: 128, id: id},
		"frame of 4 GiB":                  {frame: []byte{2, 0xff, 0xff, 0xff, 0xff}, status: 128},
		"unknown item, refused":           {frame: command2(item(1, good), item(2, []byte(payload)), item(3, be32(id)), item(9, nil)), status: 128, id: id, config: func(c *sim.Config) { c.Guesses.Binary.RefuseUnknownItems = true }},
		"no JSON, refused":                {frame: usual(id, good, "{"), status: 128, id: id, config: func(c *sim.Config) { c.Guesses.RefuseMalformedJSON = true }},
		"priority 10 and nothing to show, refused": {
			frame: usual(id, good, `{"aps":{"content-available":1}}`), status: 128, id: id,
			config: func(c *sim.Config) { c.Guesses.Binary.RefuseBackgroundPriority10 = true },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			apple, b := startOld(t, func(cfg *sim.Config) {
				if c.config != nil {
					c.config(cfg)
				}
			})
			for _, d := range []sim.Device{
				{DeviceToken: deviceToken(1)}, {DeviceToken: deviceToken(2), Environment: sim.Production},
				{DeviceToken: deviceToken(3), Topics: []string{"com.example.other"}},
				{DeviceToken: deviceToken(4), Throttle: sim.Throttle{Limit: 1, Per: time.Hour}},
			} {
				if err := apple.PutDevice(d); err != nil {
					t.Fatal(err)
				}
			}
			switch c.topic {
			case "":
			case "none":
				b.Certificate, _ = apnstest.ClientCertificate(t, "")
			default:
				b.Certificate, _ = apnstest.ClientCertificate(t, c.topic)
			}
			o := dialOld(t, apple, b, b.Gateway)
			if c.topic == "" {
				o.send(usual(7, good, `{"before":1}`))
			}
			o.send(c.frame, usual(8, good, `{"after":1}`))
			o.wantPacket(c.status, c.id)
			var outcomes []sim.Outcome
			for _, p := range apple.Pushes(sim.Filter{}) {
				if string(p.Payload) == `{"after":1}` {
					t.Error("something after the rejected one was judged")
				}
				outcomes = append(outcomes, p.Outcome)
			}
			if last := len(outcomes) - 1; last < 0 || outcomes[last] != sim.Rejected || slices.Contains(outcomes[:last], sim.Rejected) {
				t.Errorf("outcomes %v", outcomes)
			}
			st := apple.Stats().Binary
			if st.Rejected != 1 || st.Packets != 1 || st.ByStatus[fmt.Sprint(c.status)] != 1 || st.Notifications != uint64(len(outcomes)) {
				t.Errorf("%+v", st)
			}
		})
	}
}

func anySize(c *sim.Config)    { c.Guesses.Binary.AnyDeviceTokenSize = true }
func earlyLimit(c *sim.Config) { c.Guesses.Binary.EarlyLimit = true }
func large(c *sim.Config)      { c.Binary.MaxPayload = 4096 }

// TestBinaryTakes is what passes, at the limits and with the guesses.
func TestBinaryTakes(t *testing.T) {
	good, payload := oldDevice(1), `{"aps":{}}`
	for name, c := range map[string]struct {
		frame  []byte
		config func(*sim.Config)
	}{
		"items in any order":     {frame: command2(item(5, []byte{5}), item(4, be32(0)), item(3, be32(1)), item(2, []byte(payload)), item(1, good))},
		"nothing but the two":    {frame: command2(item(1, good), item(2, []byte(payload)))},
		"payload of 2048":        {frame: command0(good, strings.Repeat(" ", 2048))},
		"payload of 256, early":  {frame: command1(1, 0, good, strings.Repeat(" ", 256)), config: earlyLimit},
		"command 2 is not early": {frame: usual(1, good, strings.Repeat(" ", 2048)), config: earlyLimit},
		"payload of 4096":        {frame: usual(1, good, strings.Repeat(" ", 4096)), config: large},
		"unknown item":           {frame: command2(item(1, good), item(2, []byte(payload)), item(77, []byte("what")))},
		"any size":               {frame: usual(1, make([]byte, 100), payload), config: anySize},
		"priority 0 for none":    {frame: command2(item(1, good), item(2, []byte(payload)), item(5, []byte{0})), config: func(c *sim.Config) { c.Guesses.Binary.AnyPriority = true }},
		"background":             {frame: usual(1, good, `{"aps":{"content-available":1}}`)},
		"lean":                   {frame: usual(1, good, payload), config: func(c *sim.Config) { c.Lean = true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			apple, b := startOld(t, func(cfg *sim.Config) {
				if c.config != nil {
					c.config(cfg)
				}
			})
			o := dialOld(t, apple, b, b.Gateway)
			o.send(c.frame)
			o.wantSilence()
			if st := apple.Stats().Binary; st.Accepted != 1 || st.Notifications != 1 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// TestBinaryTruncation cuts the stream at every byte: what is whole is taken,
// the rest is nothing.
func TestBinaryTruncation(t *testing.T) {
	apple, b := startOld(t)
	frames := [][]byte{unhex(worked0), command1(1, 0, oldDevice(1), "{}"), usual(2, oldDevice(2), "{}")}
	stream := bytes.Join(frames, nil)
	var taken uint64
	for cut := range len(stream) {
		o := dialOld(t, apple, b, b.Gateway)
		o.send(stream[:cut])
		o.wantSilence()
		for end, i := 0, 0; i < len(frames); i++ {
			if end += len(frames[i]); end <= cut {
				taken++
			}
		}
		if st := apple.Stats().Binary; st.Accepted != taken || st.Notifications != taken {
			t.Fatalf("cut at %d: %+v, want %d", cut, st, taken)
		}
	}
}

// TestBinaryByteByByte is a client whose every byte comes alone.
func TestBinaryByteByByte(t *testing.T) {
	apple, b := startOld(t)
	o := dialOld(t, apple, b, b.Gateway)
	for _, c := range concat(unhex(worked0), unhex(worked1), unhex(worked2)) {
		o.send([]byte{c})
	}
	o.wantSilence()
	if st := apple.Stats().Binary; st.Accepted != 3 {
		t.Errorf("%+v", st)
	}
}
