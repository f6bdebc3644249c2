// Package suggest guesses what somebody meant to type.
package suggest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Hint returns a hint if one of the known words is near, else "".
func Hint(word string, known []string) string {
	if near := Nearest(word, known, 1); len(near) > 0 {
		return fmt.Sprintf("; did you mean %q?", near[0])
	}
	return ""
}

// Nearest returns up to n known words that a typing error or two may have
// turned into word, the nearest first.
func Nearest(word string, known []string, n int) []string {
	if len(word) > 64 {
		return nil // nobody mistypes that much, and the distance takes a while
	}
	key := Plain(word)
	limit := max(1, len(key)/3)
	type candidate struct {
		word     string
		distance int
	}
	var near []candidate
	for _, k := range known {
		if d := editDistance(key, Plain(k)); d <= limit {
			near = append(near, candidate{k, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var found []string
	for _, c := range near[:min(n, len(near))] {
		found = append(found, c.word)
	}
	return found
}

var separators = strings.NewReplacer("_", "", "-", "", " ", "")

// Plain removes what differs between the ways of writing one name.
func Plain(s string) string {
	return strings.ToLower(separators.Replace(s))
}

// editDistance is the number of bytes to insert, remove, replace or swap with
// their neighbour to get from a to b.
func editDistance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
