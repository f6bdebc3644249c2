package wallet

import (
	"bytes"
	"encoding/json"
)

// RepairJSON puts a blank in place of each comma that stands before } or ], which JSON
// does not allow, and returns data itself where there is none, or where that alone does
// not make it JSON. A sample that Apple signed has such a comma, so Wallet has taken it;
// whether today's does nobody knows. [Open] reads such a package and warns, checking and
// signing refuse it.
func RepairJSON(data []byte) (repaired []byte, changed bool) {
	if json.Valid(data) {
		return data, false
	}
	repaired = bytes.Clone(data)
	inText := false
	for i := 0; i < len(repaired); i++ {
		switch c := repaired[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case !inText && c == ',':
			if rest := bytes.TrimLeft(repaired[i+1:], " \t\r\n"); len(rest) > 0 && (rest[0] == '}' || rest[0] == ']') {
				repaired[i] = ' '
				changed = true
			}
		}
	}
	if !changed || !json.Valid(repaired) {
		return data, false
	}
	return repaired, true
}

// firstRepair is where RepairJSON changed something.
func firstRepair(data, repaired []byte) int {
	for i := range data {
		if data[i] != repaired[i] {
			return i
		}
	}
	return 0
}
