package auth

import (
	"fmt"
	"io"
	"log/slog"
)

// A type that holds a secret must print safely however it is printed: %v, %+v,
// %#v, %x, slog, JSON, and as a field of somebody else's struct. Each such type
// therefore has the same set of methods, all on the value, so that a copy is as
// safe as a pointer; and each keeps its secret behind a pointer, since fmt
// cannot call methods on unexported fields of other structs but prints pointers
// inside them as addresses.

// writeRedacted answers every verb with the same harmless text.
func writeRedacted(s fmt.State, text string) { io.WriteString(s, text) }

func (k SigningKey) redacted() string { return "signing key " + k.keyID + " (redacted)" }

// String names the key id and never shows the key.
func (k SigningKey) String() string { return k.redacted() }

// GoString is String.
func (k SigningKey) GoString() string { return k.redacted() }

// Format prints String for every verb.
func (k SigningKey) Format(s fmt.State, _ rune) { writeRedacted(s, k.redacted()) }

// LogValue is String.
func (k SigningKey) LogValue() slog.Value { return slog.StringValue(k.redacted()) }

// MarshalText is String, so that no encoder can write the key by accident; use
// [SigningKey.PEM] to write it on purpose.
func (k SigningKey) MarshalText() ([]byte, error) { return []byte(k.redacted()), nil }

func (p ProviderToken) redacted() string {
	return "provider token issued " + p.issuedAt.UTC().Format("2006-01-02T15:04:05Z") + " (redacted)"
}

// String names the time of issue and never shows the provider token.
func (p ProviderToken) String() string { return p.redacted() }

// GoString is String.
func (p ProviderToken) GoString() string { return p.redacted() }

// Format prints String for every verb.
func (p ProviderToken) Format(s fmt.State, _ rune) { writeRedacted(s, p.redacted()) }

// LogValue is String.
func (p ProviderToken) LogValue() slog.Value { return slog.StringValue(p.redacted()) }

// MarshalText is String.
func (p ProviderToken) MarshalText() ([]byte, error) { return []byte(p.redacted()), nil }

func (c Certificate) redacted() string {
	name := c.Info.CommonName
	if name == "" {
		name = "without a common name"
	}
	return "certificate " + name + " (private key redacted)"
}

// String names the certificate and never shows the private key.
func (c Certificate) String() string { return c.redacted() }

// GoString is String.
func (c Certificate) GoString() string { return c.redacted() }

// Format prints String for every verb.
func (c Certificate) Format(s fmt.State, _ rune) { writeRedacted(s, c.redacted()) }

// LogValue is String.
func (c Certificate) LogValue() slog.Value { return slog.StringValue(c.redacted()) }

// MarshalText is String. Without it encoding/json would write the private key,
// whose fields are exported.
func (c Certificate) MarshalText() ([]byte, error) { return []byte(c.redacted()), nil }
