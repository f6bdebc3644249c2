package webpush

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// Message encryption for Web Push (RFC 8291): a secret that only the browser and
// this one message know, from a key pair made for the message and the two keys of
// the subscription, and then aes128gcm with a single record.

// messageSecret derives the input to aes128gcm (RFC 8291 section 3.4).
func messageSecret(shared, auth, receiver, sender []byte) ([]byte, error) {
	info := make([]byte, 0, 14+2*keyLength)
	info = append(info, "WebPush: info\x00"...)
	info = append(info, receiver...)
	info = append(info, sender...)
	return hkdf.Key(sha256.New, shared, auth, string(info), 32)
}

// Encrypt encrypts a payload for a subscription, with a new key pair and salt,
// and padding zeros behind it that hide its length. The result is the body of a
// request with Content-Encoding aes128gcm. Payload and padding together may have
// [MaxPayload] bytes.
//
// [Client.Send] does this by itself; Encrypt is for whoever sends by other means.
func Encrypt(s *Subscription, payload []byte, padding int) ([]byte, error) {
	if s.get() == nil {
		return nil, &InvalidError{"subscription", []Problem{{"", "is missing"}}}
	}
	var p problems
	checkSize(&p, len(payload), padding)
	if err := p.in("message"); err != nil {
		return nil, err
	}
	sender, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("webpush: making a key for a message: %w", err)
	}
	var salt [saltLength]byte
	rand.Read(salt[:]) // never fails
	return encryptWith(sender, salt[:], s.get().key, s.get().auth[:], payload, padding)
}

func encryptWith(sender *ecdh.PrivateKey, salt []byte, receiver *ecdh.PublicKey, auth, payload []byte, padding int) ([]byte, error) {
	shared, err := sender.ECDH(receiver)
	if err != nil {
		return nil, fmt.Errorf("webpush: agreeing on a secret: %w", err)
	}
	public := sender.PublicKey().Bytes()
	secret, err := messageSecret(shared, auth, receiver.Bytes(), public)
	if err != nil {
		return nil, fmt.Errorf("webpush: deriving a secret: %w", err)
	}
	out := make([]byte, 0, headerLength+len(payload)+1+padding+tagLength)
	return appendCoded(out, secret, salt, public, recordSize, payload, padding)
}

// checkSize adds what is wrong with a payload's length.
func checkSize(p *problems, payload, padding int) {
	switch {
	case padding < 0:
		p.add("Padding", "is negative")
	case payload > MaxPayload:
		p.add("Payload", "has %d bytes, and %d is the limit: encrypted they fill the %d bytes that every push service takes (RFC 8030 section 7.2). Send an identifier, and let the page fetch the rest", payload, MaxPayload, maxBody)
	case padding > MaxPayload-payload:
		p.add("Padding", "is %d, and beside a payload of %d bytes there is room for %d", padding, payload, MaxPayload-payload)
	}
}

// Receiver is the browser's end of a subscription: its private key and
// authentication secret. It is for tests, and for programs that play a browser.
// It is immutable, safe for concurrent use, and prints without the keys.
type Receiver struct {
	in *receiverKeys // two pointers away, as in Subscription
}

type receiverKeys struct {
	key  *ecdh.PrivateKey
	auth *[authLength]byte
}

// NewReceiver makes new keys.
func NewReceiver() (*Receiver, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("webpush: making the keys of a subscription: %w", err)
	}
	var auth [authLength]byte
	rand.Read(auth[:]) // never fails
	return &Receiver{&receiverKeys{key, &auth}}, nil
}

// ParseReceiver reads a private key of 32 bytes and an authentication secret of
// 16, both in base64url.
func ParseReceiver(private, auth string) (*Receiver, error) {
	var p problems
	scalar, err := decode64(private)
	var key *ecdh.PrivateKey
	if err != nil {
		p.add("private key", "%v", err)
	} else if key, err = ecdh.P256().NewPrivateKey(scalar); err != nil {
		p.add("private key", "is not one of P-256; 32 bytes are needed")
	}
	secret := parseAuth(&p, "auth", auth)
	if err := p.in("receiver"); err != nil {
		return nil, err
	}
	return &Receiver{&receiverKeys{key, &secret}}, nil
}

// Subscription is what a browser with these keys would give to its page. An
// endpoint that is wrong is an [*InvalidError].
func (r *Receiver) Subscription(endpoint string) (*Subscription, error) {
	return NewSubscription(endpoint, encode64(r.in.key.PublicKey().Bytes()), encode64(r.in.auth[:]), time.Time{})
}

// Decrypt returns the payload of a message, strictly by RFC 8291 section 4: one
// record, the sender's public key as key id, and not a byte beyond. It does not
// limit the size.
func (r *Receiver) Decrypt(body []byte) ([]byte, error) {
	c, err := parseCoded(body)
	if err != nil {
		return nil, fmt.Errorf("webpush: the message is malformed: %w", err)
	}
	if len(c.keyID) != keyLength {
		return nil, fmt.Errorf("webpush: the message is malformed: its key id has %d bytes, and the sender's public key has %d (RFC 8291 section 4)", len(c.keyID), keyLength)
	}
	sender, err := ecdh.P256().NewPublicKey(c.keyID)
	if err != nil {
		return nil, errors.New("webpush: the message is malformed: its key id is not a point on P-256")
	}
	if uint64(len(c.records)) > uint64(c.size) {
		return nil, errors.New("webpush: the message has more than one record, and Web Push has one (RFC 8291 section 4)")
	}
	shared, err := r.in.key.ECDH(sender)
	if err != nil {
		return nil, errors.New("webpush: the message is malformed: no secret can be agreed on")
	}
	secret, err := messageSecret(shared, r.in.auth[:], r.in.key.PublicKey().Bytes(), c.keyID)
	if err != nil {
		return nil, fmt.Errorf("webpush: deriving a secret: %w", err)
	}
	payload, err := c.open(secret)
	if err != nil {
		return nil, fmt.Errorf("webpush: the message is refused: %w", err)
	}
	return payload, nil
}
