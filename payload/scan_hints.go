package payload

import "bytes"

// The JSON that reaches a push server wrong is wrong in a handful of ways; each
// gets the sentence that would have helped.

// failOrEnd is fail, unless the text simply ends here.
func (s *scanner) failOrEnd(message, fix string) *syntaxError {
	if s.pos >= len(s.src) {
		s.pos = len(s.src)
		return s.fail("the JSON ends before it is complete", "was it cut off on the way? shorten texts, never the JSON")
	}
	return s.fail(message, fix)
}

// notAValue explains a byte that begins no value.
func (s *scanner) notAValue() *syntaxError {
	rest := s.src[s.pos:]
	for _, hint := range []struct{ prefix, message, fix string }{
		{"'", "single quotes", "JSON strings stand in double quotes; is this the print form of a Python or Ruby value?"},
		{"True", "True is Python", "encode with json.dumps, not str"},
		{"False", "False is Python", "encode with json.dumps, not str"},
		{"None", "None is Python", "encode with json.dumps, not str"},
		{"NaN", "NaN is not JSON", "leave the key out"},
		{"Inf", "infinity is not JSON", "leave the key out"},
		{"-Inf", "infinity is not JSON", "leave the key out"},
		{"undefined", "undefined is JavaScript", "leave the key out"},
		{"//", "a comment", "JSON has no comments"},
		{"/*", "a comment", "JSON has no comments"},
		{"+", "a number with a plus sign", "leave the plus sign out"},
		{".", "a number without a digit before its point", "write 0.5, not .5"},
		{",", "a comma where a value belongs", "is a value missing?"},
		{"}", "a closing brace where a value belongs", "is a value missing?"},
		{"\x00", "a zero byte", "is the text UTF-16? APNs takes UTF-8 only"},
		{"\xff\xfe", "a UTF-16 byte order mark", "APNs takes UTF-8 only"},
		{"\xfe\xff", "a UTF-16 byte order mark", "APNs takes UTF-8 only"},
		{"\x1f\x8b", "compressed data", "APNs takes the JSON as it is; do not compress the body"},
	} {
		if bytes.HasPrefix(rest, []byte(hint.prefix)) {
			return s.fail(hint.message, hint.fix)
		}
	}
	return s.failOrEnd("not a JSON value", "build the JSON with a JSON library")
}

// notAKey explains a byte that begins no member name.
func (s *scanner) notAKey() *syntaxError {
	switch c := s.peek(); {
	case c == '\'':
		return s.fail("a key in single quotes", "JSON keys stand in double quotes; is this the print form of a Python or Ruby value?")
	case c == '/':
		return s.fail("a comment", "JSON has no comments")
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_':
		return s.fail("a key without quotes", "JSON keys stand in double quotes")
	}
	return s.failOrEnd("no key where one belongs", "build the JSON with a JSON library")
}
