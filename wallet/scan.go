package wallet

import "encoding/json"

// What is here walks over JSON that was checked before, without an allocation.
// It finds where values begin and end, and trusts that they do.

// eachMember calls f for each member of an object, in order, duplicates too. The
// key has its quotes; the value has no white space around it.
func eachMember(object json.RawMessage, f func(key, value json.RawMessage)) {
	for i := skipSpace(object, 1); i < len(object) && object[i] != '}'; i = skipSpace(object, i) {
		if object[i] == ',' {
			i++
			continue
		}
		end := skipValue(object, i)
		key := object[i:end]
		start := skipSpace(object, skipSpace(object, end)+1) // behind the colon
		i = skipValue(object, start)
		f(key, object[start:i:i])
	}
}

// eachElement calls f for each element of an array, as eachMember does.
func eachElement(array json.RawMessage, f func(value json.RawMessage)) {
	for i := skipSpace(array, 1); i < len(array) && array[i] != ']'; i = skipSpace(array, i) {
		if array[i] == ',' {
			i++
			continue
		}
		start := i
		i = skipValue(array, start)
		f(array[start:i:i])
	}
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\r' || data[i] == '\t') {
		i++
	}
	return i
}

// skipValue returns the index behind the value that begins at i.
func skipValue(data []byte, i int) int {
	depth := 0
	for i < len(data) {
		switch data[i] {
		case '"':
			i = skipString(data, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		default:
			i++
			if depth == 0 { // a number or a word
				for i < len(data) && !delimits(data[i]) {
					i++
				}
			}
		}
		if depth == 0 {
			break
		}
	}
	return i
}

func skipString(data []byte, i int) int {
	for i++; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

func delimits(c byte) bool {
	switch c {
	case ',', '}', ']', ' ', '\n', '\r', '\t':
		return true
	}
	return false
}
