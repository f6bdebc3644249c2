package webpush

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// The content coding aes128gcm of RFC 8188: a header, then records of equal size,
// each sealed with AES-128-GCM under its own nonce.
//
//	salt (16) | record size (4) | length of key id (1) | key id | records
//
// A record holds data, a delimiter (1, or 2 in the last record) and zeros. Web
// Push uses a single record and puts the sender's public key where the key id is.

const (
	delimiterMore = 1
	delimiterLast = 2
	// smallestRecord is one byte of data, the delimiter and the tag (section 2.1:
	// values smaller than 18 are invalid).
	smallestRecord = tagLength + 2
)

// errDecrypt says as little as decryption should.
var errDecrypt = errors.New("it cannot be decrypted: another key, or not the bytes that were sent")

// recordCipher derives the key and the first nonce (sections 2.2 and 2.3).
func recordCipher(secret, salt []byte) (cipher.AEAD, []byte, error) {
	prk, err := hkdf.Extract(sha256.New, secret, salt)
	if err != nil {
		return nil, nil, err
	}
	key, err := hkdf.Expand(sha256.New, prk, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, nil, err
	}
	nonce, err := hkdf.Expand(sha256.New, prk, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	aead, err := cipher.NewGCM(block)
	return aead, nonce, err
}

// nonceOf returns the nonce of a record: its number, as 96 bits, XORed into the
// first one.
func nonceOf(base []byte, number uint64) []byte {
	nonce := append([]byte(nil), base...)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^number)
	return nonce
}

// appendCoded appends the coded form of plaintext with padding zeros after the
// delimiter of the last record. size is the record size written into the header.
// All records but the last are full.
func appendCoded(out, secret, salt, keyID []byte, size uint32, plaintext []byte, padding int) ([]byte, error) {
	if size < smallestRecord || len(salt) != saltLength || len(keyID) > 255 {
		return nil, fmt.Errorf("webpush: record size %d, salt of %d bytes, key id of %d bytes", size, len(salt), len(keyID))
	}
	aead, base, err := recordCipher(secret, salt)
	if err != nil {
		return nil, err
	}
	out = append(out, salt...)
	out = binary.BigEndian.AppendUint32(out, size)
	out = append(out, byte(len(keyID)))
	out = append(out, keyID...)
	room := int(size) - tagLength - 1 // data and padding of one record
	for number := uint64(0); ; number++ {
		data := plaintext[:min(len(plaintext), room)]
		plaintext = plaintext[len(data):]
		zeros := min(padding, room-len(data))
		delimiter := byte(delimiterMore)
		if last := len(plaintext) == 0 && zeros == padding; last {
			delimiter = delimiterLast
		}
		padding -= zeros
		begin := len(out)
		out = append(out, data...)
		out = append(out, delimiter)
		out = append(out, make([]byte, zeros)...)
		out = aead.Seal(out[:begin], nonceOf(base, number), out[begin:], nil)
		if delimiter == delimiterLast {
			return out, nil
		}
	}
}

// coded is the header of a coded message, and its records.
type coded struct {
	salt, keyID []byte
	size        uint32
	records     []byte
}

// parseCoded takes a message apart; nothing is copied.
func parseCoded(body []byte) (coded, error) {
	const fixed = saltLength + 4 + 1
	if len(body) < fixed {
		return coded{}, fmt.Errorf("it has %d bytes, and the header of aes128gcm alone has %d", len(body), fixed)
	}
	c := coded{salt: body[:saltLength], size: binary.BigEndian.Uint32(body[saltLength:])}
	if c.size < smallestRecord {
		return coded{}, fmt.Errorf("the record size is %d, and below %d there is no room for data (RFC 8188 section 2.1)", c.size, smallestRecord)
	}
	length := int(body[fixed-1])
	if len(body) < fixed+length {
		return coded{}, fmt.Errorf("it ends inside the key id, which should have %d bytes", length)
	}
	c.keyID, c.records = body[fixed:fixed+length], body[fixed+length:]
	return c, nil
}

// open decrypts all records. It never returns data that was cut short: a message
// ends with the delimiter 2, in its last record and in no other.
func (c coded) open(secret []byte) ([]byte, error) {
	aead, base, err := recordCipher(secret, c.salt)
	if err != nil {
		return nil, err
	}
	if len(c.records) == 0 {
		return nil, errors.New("it has no records")
	}
	plaintext := make([]byte, 0, len(c.records))
	rest := c.records
	for number := uint64(0); len(rest) > 0; number++ {
		record := rest[:min(uint64(len(rest)), uint64(c.size))]
		rest = rest[len(record):]
		begin := len(plaintext)
		plaintext, err = aead.Open(plaintext, nonceOf(base, number), record, nil)
		if err != nil {
			return nil, errDecrypt
		}
		end := len(plaintext) - 1
		for end >= begin && plaintext[end] == 0 {
			end--
		}
		if end < begin {
			return nil, errors.New("a record has no delimiter (RFC 8188 section 2)")
		}
		switch last := len(rest) == 0; {
		case plaintext[end] == delimiterLast && last, plaintext[end] == delimiterMore && !last:
		case plaintext[end] == delimiterMore:
			return nil, errors.New("it was cut short: its last record is missing")
		case plaintext[end] == delimiterLast:
			return nil, errors.New("there is something after the last record")
		default:
			return nil, fmt.Errorf("a record has the delimiter %d (RFC 8188 section 2)", plaintext[end])
		}
		plaintext = plaintext[:end]
	}
	return plaintext, nil
}
