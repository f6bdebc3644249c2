package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == slowDisk {
		fmt.Fprintln(os.Stderr, becomeSlow(os.Args[2:]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// A new operation that changes something has to be tried while servers die, and
// a row has to say that it does so.
func TestEveryOperationThatChangesSomethingIsInARow(t *testing.T) {
	o := &options{dir: t.TempDir()}
	var err error
	if o.aviso, err = build(t.Context(), o.dir, "aviso", "aviso.example/cmd/aviso"); err != nil {
		t.Fatal(err)
	}
	text, err := document(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	known, err := parseOperations(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range slices.Concat(rows, clusterRows) {
		if len(r.calls) == 0 {
			t.Errorf("the row %q calls nothing", r.name)
		}
		for _, id := range r.calls {
			if _, ok := known.byID[id]; !ok {
				t.Errorf("the row %q calls %s, which the API does not have", r.name, id)
			}
		}
	}
	for _, r := range rows {
		if r.fullOnly {
			continue // a short run has to call everything as well
		}
		for _, id := range r.calls {
			known.note(r.name, id)
		}
	}
	for _, id := range known.unproven() {
		t.Errorf("%s changes something, and no row calls it; put it into one in bench/crash", id)
	}
}

func TestUnproven(t *testing.T) {
	o, err := parseOperations([]byte(`{"paths":{"/v1/a":{"get":{"operationId":"list-a"},"post":{"operationId":"post-a"}},"/v1/a/{id}":{"parameters":[],"delete":{"operationId":"delete-a"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	o.note("some row", "post-a")
	if got := o.unproven(); !slices.Equal(got, []string{"delete-a"}) {
		t.Errorf("%v", got)
	}
	if got := o.untouched(&row{name: "some row", calls: []string{"post-a", "delete-a"}}); !slices.Equal(got, []string{"delete-a"}) {
		t.Errorf("%v", got)
	}
}

func TestSlowDisk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("something"), 0o600); err != nil {
		t.Fatal(err)
	}
	const delay = 300 * time.Millisecond
	cmd := exec.Command("sync", file) // which is one fsync
	attend, err := slowed(cmd, delay)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := attend(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < delay {
		t.Errorf("a sync took %v, although the disk takes %v longer", took, delay)
	}
}

func TestPace(t *testing.T) {
	began := time.UnixMilli(1_000_000)
	q := &request{order: order{rate: 10}, at: began}
	for i := range 50 { // ten a second, and five more within the third
		q.times = append(q.times, began.UnixMilli()+int64(i)*100)
	}
	for i := range 5 {
		q.times = append(q.times, began.UnixMilli()+2010+int64(i))
	}
	p := pace{q, 10, began, began.Add(4 * time.Second)}
	if most, all := p.sent(); most != 15 || all != 46 {
		t.Errorf("at most %v, in all %v", most, all)
	}
	q.times = q.times[:50]
	if most, _ := p.sent(); most != 10 {
		t.Errorf("at most %v", most)
	}
}

func TestNames(t *testing.T) {
	for text, want := range map[string]bool{
		`{"unconfigured":[{"app":"news","waiting":3}]}`: true,
		`{"app":"news-2"}`:         false,
		`the app "news" is gone`:   true,
		`renews`:                   false,
		`AVISO_Q_normal-x-news: 3`: false,
	} {
		if got := names([]byte(text), news); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestLives(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	r := &rig{lived: []life{{at(1), at(2)}, {at(5), at(6)}}}
	for s, want := range map[int]int{0: -1, 3: 0, 7: 1} {
		if got := r.lifeOf(at(s)); got != want {
			t.Errorf("at %d: %d, want %d", s, got, want)
		}
	}
}
