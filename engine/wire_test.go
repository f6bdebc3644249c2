package engine

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"aviso.example/apns"
)

func sampleChunk() *chunk {
	unit := newUnit(time.UnixMilli(1_790_000_000_123))
	return &chunk{
		path: path{"shop", apns.Sandbox, Bulk}, unit: unit, batch: true,
		templates: []template{
			{payload: []byte(`{"aps":{"alert":"Hello"}}`), pushType: apns.PushTypeAlert, bundleID: "com.example.app", priority: 5, expiration: apns.ExpireAtUnix(1_800_000_000), collapseID: "score", first: 3, count: 2, accepted: 1},
			{payload: []byte(`{}`), pushType: apns.PushTypeVoIP, topic: "com.example.app.voip", expiration: apns.ExpireImmediately, dropUnknown: true, sendAt: 1_790_000_100_000, count: 1, accepted: 1},
			{payload: []byte(`{"a":1}`), expiration: apns.ExpireByStoragePolicy},
		},
		targets: []target{
			{number: 3, template: 0, token: bytes.Repeat([]byte{0xab}, 32), registered: 1_700_000_000},
			{number: 7, template: 2, token: []byte{1, 2, 3}, attempts: 300, round: 301},
			{number: 5, template: 1, token: bytes.Repeat([]byte{7}, 80)},
		},
	}
}

func TestChunkRoundTrip(t *testing.T) {
	want := sampleChunk()
	got, err := parseChunk(want.append(nil))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v\n%+v", err, got, want)
	}
}

// A chunk that is not whole, or that was changed, is an error and never half
// believed.
func TestChunkDamaged(t *testing.T) {
	data := sampleChunk().append(nil)
	for n := range data {
		if _, err := parseChunk(data[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were taken for a chunk", n, len(data))
		}
		changed := bytes.Clone(data)
		changed[n] ^= 0x10
		if _, err := parseChunk(changed); err == nil {
			t.Errorf("a change of byte %d was not noticed", n)
		}
		// With a fitting sum the structure itself has to hold.
		parseChunk(appendSum(bytes.Clone(data[:max(0, n-4)])))
	}
}

func sampleRecord() []byte {
	c := sampleChunk()
	var w sectionWriter
	w.begin(c, false)
	at := time.UnixMilli(1_790_000_001_000)
	w.add(c, &c.targets[0], at, &decision{state: Accepted, status: 200}, "5b1a5e52-0c3c-4f1a-9d4f-8f6a2f7a1b11", false)
	w.add(c, &c.targets[1], at.Add(time.Second), &decision{state: Retrying, status: 503, reason: apns.ReasonServiceUnavailable, retryAt: at.Add(time.Minute)}, "", false)
	record := w.appendTo([]byte{verdictFormat})
	c.batch = false
	w.begin(c, false)
	w.add(c, &c.targets[0], at, &decision{state: Rejected, status: 410, reason: "Unregistered", deadSince: at.Add(-time.Hour)}, "", true)
	w.add(c, &c.targets[2], at, &decision{state: Unknown, detail: "no answer", buried: true}, "", false)
	return appendSum(w.appendTo(record))
}

func TestVerdictRoundTrip(t *testing.T) {
	c := sampleChunk()
	at := time.UnixMilli(1_790_000_001_000).UTC()
	token := func(i int) string { return hexText(c.targets[i].token) }
	want := []Verdict{
		{App: "shop", Environment: apns.Sandbox, Lane: Bulk, Batch: BatchID(c.unit), DeviceToken: token(0), State: Accepted, At: at, Status: 200, UniqueID: "5b1a5e52-0c3c-4f1a-9d4f-8f6a2f7a1b11"},
		{App: "shop", Environment: apns.Sandbox, Lane: Bulk, Batch: BatchID(c.unit), DeviceToken: token(1), State: Retrying, At: at.Add(time.Second), Attempts: 300, Status: 503, Reason: "ServiceUnavailable", RetryAt: at.Add(time.Minute)},
		{App: "shop", Environment: apns.Sandbox, Lane: Bulk, Message: MessageID{First: numbered(c.unit, 3), Count: 2}, DeviceToken: token(0), State: Rejected, At: at, Status: 410, Reason: "Unregistered", DeadSince: at.Add(-time.Hour), Suppressed: true},
		{App: "shop", Environment: apns.Sandbox, Lane: Bulk, Message: MessageID{First: numbered(c.unit, 0), Count: 1}, DeviceToken: token(2), State: Unknown, At: at, Detail: "no answer", Buried: true},
	}
	// Units of two samples differ by chance; numbers do not.
	var got []Verdict
	data := sampleRecord()
	if err := readVerdicts(data, func(v *rawVerdict) { got = append(got, v.verdict()) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d verdicts", len(got))
	}
	for i, number := range []uint32{3, 7, 3, 5} {
		unit, n := split(got[i].ID)
		if n != number {
			t.Errorf("verdict %d is about number %d, want %d", i, n, number)
		}
		want[i].ID = got[i].ID
		if !want[i].Batch.IsZero() {
			want[i].Batch = BatchID(unit)
		} else {
			_, first := split(want[i].Message.First)
			want[i].Message.First = numbered(unit, first)
		}
		if got[i] != want[i] {
			t.Errorf("verdict %d:\n%+v\n%+v", i, got[i], want[i])
		}
	}
	keys, err := recordKeys(nil, data, func(*rawVerdict) {})
	if err != nil || len(keys) != 5 { // the range once, a device token for each verdict
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

func TestVerdictDamaged(t *testing.T) {
	data := sampleRecord()
	for n := range data {
		if readVerdicts(data[:n], func(*rawVerdict) {}) == nil {
			t.Errorf("the first %d of %d bytes were taken for a record", n, len(data))
		}
		changed := bytes.Clone(data)
		changed[n] ^= 0x10
		if readVerdicts(changed, func(*rawVerdict) {}) == nil {
			t.Errorf("a change of byte %d was not noticed", n)
		}
		readVerdicts(appendSum(bytes.Clone(data[:max(0, n-4)])), func(v *rawVerdict) { v.verdict() })
	}
}

func FuzzChunk(f *testing.F) {
	data := sampleChunk().append(nil)
	f.Add(data[:len(data)-4])
	f.Add((&chunk{path: path{app: "a"}}).append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseChunk(appendSum(data))
		if err != nil {
			return
		}
		c.hexTokens(c.allTargets())
		for i := range c.targets {
			c.message(&c.targets[i])
		}
		again, err := parseChunk(c.append(nil))
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%v\n%+v\n%+v", err, again, c)
		}
	})
}

func FuzzVerdicts(f *testing.F) {
	data := sampleRecord()
	f.Add(data[:len(data)-4])
	f.Fuzz(func(t *testing.T, data []byte) {
		recordKeys(nil, appendSum(data), func(*rawVerdict) {})
		readDead(appendSum(data), func(string, apns.Environment, byte, deadToken) {})
	})
}

func TestDeadRoundTrip(t *testing.T) {
	want := []deadToken{{[]byte{1, 2}, time.UnixMilli(5)}, {bytes.Repeat([]byte{9}, 32), time.UnixMilli(1_790_000_000_000)}}
	var got []deadToken
	data := appendDead("shop", apns.Sandbox, deadDoubtful, want)
	err := readDead(data, func(app string, environment apns.Environment, flags byte, d deadToken) {
		if app != "shop" || environment != apns.Sandbox || flags != deadDoubtful {
			t.Errorf("%s %s %d", app, environment, flags)
		}
		got = append(got, d)
	})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %v", got, err)
	}
	for n := range data {
		if readDead(data[:n], func(string, apns.Environment, byte, deadToken) {}) == nil {
			t.Errorf("%d bytes were taken for an entry", n)
		}
	}
}

// Ids of one unit follow from its first, sort by time, and say what they belong
// to.
func TestIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.UnixMilli(rapid.Int64Range(1, 1<<47).Draw(t, "milliseconds"))
		unit := newUnit(now)
		n := rapid.Uint32Range(0, maxUnit-1).Draw(t, "number")
		id := numbered(unit, n)
		if back, number := split(id); back != unit || number != n || !madeAt(id).Equal(now) {
			t.Fatalf("%s: %s %d %v", id, back, number, madeAt(id))
		}
		if parsed, err := apns.ParseID(id.String()); err != nil || parsed != id || id[6]>>4 != 7 || id[8]>>6 != 2 {
			t.Fatalf("%s is no UUID of version 7: %v", id, err)
		}
		count := rapid.IntRange(1, int(min(maxUnit-n, maxTargets))).Draw(t, "count")
		m := MessageID{id, count}
		if back, err := ParseMessageID(m.String()); err != nil || back != m {
			t.Fatalf("%s: %v %v", m, back, err)
		}
		if !m.Contains(m.ID(count-1)) || n > 0 && m.Contains(numbered(unit, n-1)) || int(n)+count < maxUnit && m.Contains(numbered(unit, n+uint32(count))) {
			t.Fatalf("%s does not know its own", m)
		}
		b := BatchID(unit)
		if back, err := ParseBatchID(b.String()); err != nil || back != b {
			t.Fatalf("%s: %v %v", b, back, err)
		}
	})
	for _, bad := range []string{"", "msg_", "msg_0", "bat_00000000000000000000000000", "msg_00000000000000000000000000", "msg_06h0svql29qrh24241tk00000", "msg_06H0SVQL29QRH24241TK000002S1E", "msg_06h0svql29qrh24241tk000002s1e0000000000000000000000000000000000000000000"} {
		if m, err := ParseMessageID(bad); err == nil {
			t.Errorf("%q is %+v", bad, m)
		}
		if b, err := ParseBatchID(bad); err == nil {
			t.Errorf("%q is %v", bad, b)
		}
	}
}

func TestQueueNames(t *testing.T) {
	unit := BatchID(newUnit(time.Now()))
	for _, p := range []path{{"shop", apns.Production, Urgent}, {"a-b_c", apns.Sandbox, Bulk}, {"0", apns.Sandbox, Normal}} {
		for _, b := range []BatchID{{}, unit} {
			_, subject := p.name(b)
			if back, batch, ok := parseQueueSubject(subject); !ok || back != p || batch != b {
				t.Errorf("%s: %+v %v %v", subject, back, batch, ok)
			}
		}
	}
	for _, subject := range []string{"", "aviso.verdicts", "aviso.queue.bulk.sandbox", "aviso.queue.slow.sandbox.shop", "aviso.queue.bulk.moon.shop", "aviso.batch.bulk.sandbox.shop.x", "aviso.queue.bulk.sandbox.Shop", "other.queue.bulk.sandbox.shop"} {
		if _, _, ok := parseQueueSubject(subject); ok {
			t.Errorf("%q was taken for a queue", subject)
		}
	}
}

// FuzzDead: what is read of the list of dead device tokens is what was written.
func FuzzDead(f *testing.F) {
	f.Add(appendDead("shop", apns.Sandbox, deadRevived, []deadToken{{[]byte{1, 2}, time.UnixMilli(1_700_000_000_123)}, {nil, time.Unix(0, 0)}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		// The sum is put right, or hardly anything would be read.
		data = appendSum(slices.Clip(data[:max(0, len(data)-4)]))
		app, environment, flags, list := "", apns.Production, byte(0), []deadToken(nil)
		err := readDead(data, func(a string, e apns.Environment, fl byte, d deadToken) {
			app, environment, flags, list = a, e, fl, append(list, d)
		})
		if err != nil || len(list) == 0 {
			return
		}
		again := []deadToken(nil)
		if err := readDead(appendDead(app, environment, flags, list), func(a string, e apns.Environment, fl byte, d deadToken) {
			if again = append(again, d); a != app || e != environment || fl != flags {
				t.Fatalf("%q %v %d became %q %v %d", app, environment, flags, a, e, fl)
			}
		}); err != nil || len(again) != len(list) {
			t.Fatal(len(list), len(again), err)
		}
		for i := range list {
			if string(again[i].token) != string(list[i].token) || !again[i].since.Equal(list[i].since) {
				t.Fatalf("%v became %v", list[i], again[i])
			}
		}
	})
}

func FuzzMessageID(f *testing.F) {
	f.Add(MessageID{newUnit(time.Now()), 1}.String())
	f.Add(MessageID{newUnit(time.Now()), 3000}.String())
	// Sixteen devices in two bytes where one is enough.
	f.Add("msg_0000000001s010000000000002100")
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := ParseMessageID(text); err == nil && m.String() != text {
			t.Fatalf("%q and %q are one message", text, m)
		}
	})
}
