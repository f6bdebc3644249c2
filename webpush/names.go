package webpush

import "strings"

// reservedNames are top-level domains and others that lead nowhere outside one's own
// network: RFC 2606 and 6761 (test, example, invalid, localhost), 6762 (local), 7686
// (onion), 8375 (home.arpa), 9476 (alt), and internal, which ICANN has set aside.
var reservedNames = []string{"test", "example", "invalid", "localhost", "local", "onion", "home.arpa", "alt", "internal"}

// reservedName returns the reserved name that a host is or is below, or "".
func reservedName(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, name := range reservedNames {
		if within(host, name) {
			return name
		}
	}
	return ""
}
