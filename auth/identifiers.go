package auth

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"aviso.example/internal/proto"
)

// ValidateKeyID checks the form of a key id: 10 characters, A to Z and 0 to 9
// ("Establishing a token-based connection to APNs"). The error is an
// [*InputError] that guesses the mistake.
func ValidateKeyID(keyID string) error {
	if isIdentifier(keyID) {
		return nil
	}
	fix := "it is part of the name of Apple's file, AuthKey_<key id>.p8, and stands beside the key in the developer portal under Keys"
	if id := keyIDFromName(keyID); id != "" {
		fix = "that is the file name; the key id is " + id
	} else if guess := guessIdentifier(keyID); guess != "" {
		fix = guess
	}
	return &InputError{Field: "key id", Problem: identifierProblem(keyID, proto.KeyIDLength), Fix: fix}
}

// ValidateTeamID checks the form of a team id: 10 characters, A to Z and 0 to 9
// ("Establishing a token-based connection to APNs"). The error is an
// [*InputError] that guesses the mistake.
func ValidateTeamID(teamID string) error {
	if isIdentifier(teamID) {
		return nil
	}
	fix := "it stands in the developer portal under Membership details, and in every certificate as the subject's OU"
	if keyIDFromName(teamID) != "" {
		fix = "that is the file name of a signing key; the team id stands in the developer portal under Membership details"
	} else if prefix, rest, found := strings.Cut(teamID, "."); found && isIdentifier(prefix) && rest != "" {
		fix = "that is an app identifier with its prefix; the team id is usually the part before the first dot, " + prefix
	} else if found {
		fix = "that looks like a bundle identifier, which is the topic; the team id stands in the developer portal under Membership details"
	} else if guess := guessIdentifier(teamID); guess != "" {
		fix = guess
	}
	return &InputError{Field: "team id", Problem: identifierProblem(teamID, proto.TeamIDLength), Fix: fix}
}

// Key ids and team ids have one and the same form, which is why they are so
// easily swapped.
func isIdentifier(s string) bool {
	if len(s) != proto.KeyIDLength {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// guessIdentifier recognises what is nearly right.
func guessIdentifier(s string) string {
	trimmed := strings.Trim(s, " \t\r\n\"'")
	if trimmed != s && isIdentifier(trimmed) {
		return "remove the spaces, quotes or line breaks around it"
	}
	if upper := strings.ToUpper(trimmed); isIdentifier(upper) {
		return "Apple's identifiers are in capitals: did you mean " + upper + "?"
	}
	return ""
}

func identifierProblem(s string, length int) string {
	want := "must be " + strconv.Itoa(length) + " characters, A to Z and 0 to 9"
	switch n := utf8.RuneCountInString(s); {
	case s == "":
		return "is missing; it " + want
	case n != length:
		return want + ", and has " + strconv.Itoa(n)
	default:
		return want + ", and has others"
	}
}

// keyIDFromName returns the key id that Apple puts in the name of the file, or
// "". Browsers and people add to that name: "AuthKey_ABC123DEFG (1).p8".
func keyIDFromName(path string) string {
	// Both separators, whatever the system: a name may come from a browser.
	name := path[strings.LastIndexAny(path, `/\`)+1:]
	rest, found := strings.CutPrefix(name, "AuthKey_")
	if !found || len(rest) < proto.KeyIDLength {
		return ""
	}
	id, tail := rest[:proto.KeyIDLength], rest[proto.KeyIDLength:]
	// In "AuthKey_ABC123DEFGH.p8" the eleventh character may belong to the id,
	// so that name is no answer.
	if !isIdentifier(id) || tail != "" && !strings.ContainsRune(" (-._", rune(tail[0])) {
		return ""
	}
	return id
}
