package webpush

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestManyRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "secret")
		salt := rapid.SliceOfN(rapid.Byte(), saltLength, saltLength).Draw(t, "salt")
		keyID := rapid.SliceOfN(rapid.Byte(), 0, 255).Draw(t, "key id")
		size := rapid.Uint32Range(smallestRecord, 64).Draw(t, "size")
		plaintext := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "plaintext")
		padding := rapid.IntRange(0, 100).Draw(t, "padding")
		message, err := appendCoded(nil, secret, salt, keyID, size, plaintext, padding)
		if err != nil {
			t.Fatal(err)
		}
		c, err := parseCoded(message)
		if err != nil || !bytes.Equal(c.keyID, keyID) || c.size != size {
			t.Fatalf("%+v, %v", c, err)
		}
		opened, err := c.open(secret)
		if err != nil || !bytes.Equal(opened, plaintext) {
			t.Fatalf("%x, %v", opened, err)
		}
		// Whatever is missing or changed, nothing is returned.
		cut := rapid.IntRange(0, len(c.records)-1).Draw(t, "cut")
		short := c
		short.records = c.records[:cut]
		if opened, err := short.open(secret); err == nil {
			t.Fatalf("%d of %d bytes opened as %x", cut, len(c.records), opened)
		}
		c.records = bytes.Clone(c.records)
		c.records[cut] ^= 1
		if _, err := c.open(secret); err == nil {
			t.Fatalf("byte %d was changed and not noticed", cut)
		}
	})
}

// Every way to be strict has a message that breaks one rule.
func TestStrictDecryption(t *testing.T) {
	secret, salt := bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, saltLength)
	aead, base, err := recordCipher(secret, salt)
	if err != nil {
		t.Fatal(err)
	}
	seal := func(number uint64, plaintext string) []byte {
		return aead.Seal(nil, nonceOf(base, number), []byte(plaintext), nil)
	}
	const size = 20 // three bytes and the delimiter
	for _, test := range []struct {
		name    string
		records [][]byte
		want    string // of the plaintext, or of the error
		fails   bool
	}{
		{"one record", [][]byte{seal(0, "abc\x02")}, "abc", false},
		{"two records", [][]byte{seal(0, "abc\x01"), seal(1, "d\x02")}, "abcd", false},
		{"padding", [][]byte{seal(0, "a\x01\x00\x00"), seal(1, "\x02\x00\x00\x00")}, "a", false},
		{"zeros and delimiters in the data", [][]byte{seal(0, "\x02\x00\x01\x01"), seal(1, "\x01\x02")}, "\x02\x00\x01\x01", false},
		{"no data", [][]byte{seal(0, "\x02")}, "", false},
		{"nothing", nil, "no records", true},
		{"no delimiter", [][]byte{seal(0, "\x00\x00\x00")}, "no delimiter", true},
		{"another delimiter", [][]byte{seal(0, "abc\x03")}, "delimiter 3", true},
		{"the last is missing", [][]byte{seal(0, "abc\x01")}, "cut short", true},
		{"something after the last", [][]byte{seal(0, "abc\x02"), seal(1, "d\x02")}, "after the last", true},
		{"the wrong order", [][]byte{seal(1, "abc\x01"), seal(0, "d\x02")}, "cannot be decrypted", true},
		{"shorter than a tag", [][]byte{{1, 2, 3}}, "cannot be decrypted", true},
		{"a longer record", [][]byte{seal(0, "abcd\x02")}, "cannot be decrypted", true},
	} {
		got, err := coded{salt: salt, size: size, records: bytes.Join(test.records, nil)}.open(secret)
		if test.fails {
			if err == nil || !strings.Contains(err.Error(), test.want) || got != nil {
				t.Errorf("%s: %q, %v", test.name, got, err)
			}
			continue
		}
		if string(got) != test.want || err != nil {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
	if _, err := appendCoded(nil, secret, salt, nil, smallestRecord-1, nil, 0); err == nil {
		t.Error("a record size without room for data was taken")
	}
}

func TestDecryptTruncated(t *testing.T) {
	r, s := newReceiver(t, "https://push.example.com/x")
	body, err := Encrypt(s, []byte("hello"), 7)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Decrypt(body); err != nil || string(got) != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
	for n := range body {
		if got, err := r.Decrypt(body[:n]); err == nil || got != nil {
			t.Fatalf("%d of %d bytes gave %q", n, len(body), got)
		}
		changed := bytes.Clone(body)
		changed[n] ^= 0x40
		if n >= saltLength && n < saltLength+4 {
			continue // a larger record size is as good
		}
		if _, err := r.Decrypt(changed); err == nil {
			t.Errorf("byte %d was changed and not noticed", n)
		}
	}
	other, _ := newReceiver(t, "https://push.example.com/x")
	if _, err := other.Decrypt(body); err == nil || !strings.Contains(err.Error(), "cannot be decrypted") {
		t.Errorf("another receiver: %v", err)
	}
}

func TestDecryptIsWebPushOnly(t *testing.T) {
	r, s := newReceiver(t, "https://push.example.com/x")
	body, err := Encrypt(s, []byte("hello"), 0)
	if err != nil {
		t.Fatal(err)
	}
	secret := bytes.Repeat([]byte{1}, 16)
	point := bytes.Clone(body[saltLength+5 : headerLength])
	for want, message := range map[string][]byte{
		"key id has 2 bytes":   must(appendCoded(nil, secret, body[:saltLength], []byte("a1"), 4096, nil, 0)),
		"not a point":          must(appendCoded(nil, secret, body[:saltLength], bytes.Repeat([]byte{4}, keyLength), 4096, nil, 0)),
		"more than one record": must(appendCoded(nil, secret, body[:saltLength], point, 32, make([]byte, 100), 0)),
		"the record size is 5": append(append(bytes.Clone(body[:saltLength]), 0, 0, 0, 5), body[saltLength+4:]...),
	} {
		if _, err := r.Decrypt(message); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

func TestEncryptLimits(t *testing.T) {
	r, s := newReceiver(t, "https://push.example.com/x")
	for _, test := range []struct {
		payload, padding int
		want             string
	}{
		{MaxPayload, 0, ""},
		{0, MaxPayload, ""},
		{10, MaxPayload - 10, ""},
		{MaxPayload + 1, 0, "Payload has 3994 bytes, and 3993 is the limit"},
		{10, MaxPayload, "Padding is 3993, and beside a payload of 10 bytes there is room for 3983"},
		{0, -1, "Padding is negative"},
	} {
		payload := bytes.Repeat([]byte{'x'}, test.payload)
		body, err := Encrypt(s, payload, test.padding)
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v: %v", test, err)
			}
			continue
		}
		if err != nil || len(body) != headerLength+test.payload+test.padding+1+tagLength || len(body) > 4096 {
			t.Errorf("%+v: %d bytes, %v", test, len(body), err)
		}
		if got, err := r.Decrypt(body); err != nil || !bytes.Equal(got, payload) {
			t.Errorf("%+v: %v", test, err)
		}
	}
	if _, err := Encrypt(nil, nil, 0); err == nil {
		t.Error("encrypted for nobody")
	}
	if MaxPayload != 3993 {
		t.Errorf("MaxPayload is %d", MaxPayload)
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func newReceiver(t testing.TB, endpoint string) (*Receiver, *Subscription) {
	t.Helper()
	r, err := NewReceiver()
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Subscription(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Expires().Equal(time.Time{}) {
		t.Error("it expires")
	}
	return r, s
}
