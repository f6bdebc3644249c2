package suggest

import (
	"slices"
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"title", "subtitle", "topic", "to", "thread_id"}
	for word, want := range map[string][]string{
		"titel": {"title"}, "Title": {"title"}, "threadId": {"thread_id"}, "thread-id": {"thread_id"},
		"tpoic": {"topic"}, "tp": {"to"}, "zebra": nil, "": nil, strings.Repeat("title", 100): nil,
	} {
		if got := Nearest(word, known, 1); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"ab", "ba", 1}, {"kitten", "sitting", 3}, {"abc", "abc", 0}} {
		if got := editDistance(test.a, test.b); got != test.want {
			t.Errorf("%q to %q: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
