package message

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"aviso.example/internal/suggest"
)

// key is a key of an object, and the part of a message it stands for.
type key struct {
	name  string
	field Field
}

// keys finds a key by its name, also if the name is there as bytes only.
var keys = func() map[string]key {
	all := map[string]key{}
	for _, k := range []key{
		{"to", FieldTo},
		{"payload", FieldPayload},
		{"title", FieldTitle},
		{"subtitle", FieldSubtitle},
		{"body", FieldBody},
		{"badge", FieldBadge},
		{"sound", FieldSound},
		{"category", FieldCategory},
		{"thread_id", FieldThreadID},
		{"interruption_level", FieldInterruptionLevel},
		{"mutable_content", FieldMutableContent},
		{"content_available", FieldContentAvailable},
		{"data", FieldData},
		{"topic", FieldTopic},
		{"bundle_id", FieldBundleID},
		{"push_type", FieldPushType},
		{"priority", FieldPriority},
		{"expiration", FieldExpiration},
		{"collapse_id", FieldCollapseID},
		{"id", FieldID},
	} {
		all[k.name] = k
	}
	return all
}()

var keyNames = slices.Sorted(maps.Keys(keys))

// Keys returns the keys of an object in alphabetical order.
func Keys() []string { return slices.Clone(keyNames) }

// FieldOf returns the part that a key stands for, or 0 if it is none of ours.
func FieldOf(key string) Field { return keys[key].field }

// KeyName returns the key of a part, in quotes.
func KeyName(f Field) string {
	for _, k := range keys {
		if k.field == f {
			return strconv.Quote(k.name)
		}
	}
	return "?"
}

// strangeKeys are what other senders call things.
var strangeKeys = map[string]string{
	"token": "to", "tokens": "to", "devicetoken": "to", "device": "to", "registrationid": "to",
	"alert": "title and body", "message": "body", "text": "body", "aps": "payload", "custom": "data",
	"apnstopic": "topic", "apnspushtype": "push_type", "type": "push_type", "apnspriority": "priority",
	"apnsexpiration": "expiration", "ttl": "expiration", "expiry": "expiration",
	"apnscollapseid": "collapse_id", "collapsekey": "collapse_id", "apnsid": "id", "uuid": "id",
}

// unknownKey is how the text of a problem begins that is about the key and not
// about its value.
const unknownKey = "unknown key"

// UnknownKey refuses a key, with the likely mistake. others are keys that the
// caller knows besides ours.
func UnknownKey(key string, others []string) error {
	if other := strangeKeys[suggest.Plain(key)]; other != "" {
		return Problem{Field: shorten(key), Text: fmt.Sprintf("%s; did you mean %s?", unknownKey, other)}
	}
	return Problem{Field: shorten(key), Text: unknownKey + suggest.Hint(key, slices.Concat(keyNames, others))}
}

// maxQuoted is how much of somebody's word an error repeats, in bytes: less than
// a device token has, since one may stand in the wrong place.
const maxQuoted = 40

// quote puts a word in quotes, and shortens one that is no word.
func quote(word string) string { return strconv.Quote(shorten(word)) }

func shorten(word string) string {
	if len(word) > maxQuoted {
		word = strings.ToValidUTF8(word[:8], "") + "…"
	}
	return word
}
