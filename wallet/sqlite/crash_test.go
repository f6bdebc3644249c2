package sqlite_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"aviso.example/wallet/sqlite"
	"aviso.example/wallet/webservice"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const passType = "pass.com.example.card"

var begin = time.Date(2026, 11, 24, 9, 41, 0, 250_000_000, time.UTC)

func register(t testing.TB, s *sqlite.Store, device, serial string) {
	t.Helper()
	_, err := s.Register(t.Context(), webservice.Registration{
		ID: webservice.ID{Type: passType, Serial: serial}, Device: device, DeviceToken: "00ff", Time: begin,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// claimAll returns the devices that are due, sorted.
func claimAll(t testing.TB, s *sqlite.Store, now time.Time) (devices []string) {
	t.Helper()
	for {
		claimed, err := s.Claim(t.Context(), passType, 1000, now, now.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if len(claimed) == 0 {
			slices.Sort(devices)
			return devices
		}
		for _, p := range claimed {
			devices = append(devices, p.Device)
		}
	}
}

// snapshot copies the files as they are, which is what a power loss leaves.
func snapshot(t testing.TB, path string) string {
	t.Helper()
	folder := t.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "copy.db"+suffix), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(folder, "copy.db")
}

// What a call returned nil for is in the files at that moment: copies that are taken
// between calls, without closing anything, have all of it.
func TestCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passes.db")
	s := open(t, path)
	const devices = 20
	for i := range devices {
		register(t, s, fmt.Sprintf("d%02d", i), "shared")
	}
	registered := snapshot(t, path)

	if _, err := s.Change(t.Context(), passType, []string{"shared"}, begin); err != nil {
		t.Fatal(err)
	}
	changed := snapshot(t, path)

	claimed, err := s.Claim(t.Context(), passType, 5, begin, begin.Add(time.Minute))
	if err != nil || len(claimed) != 5 {
		t.Fatal(claimed, err)
	}
	under, underToo := snapshot(t, path), snapshot(t, path)

	var settlements []webservice.Settlement
	for _, p := range claimed {
		settlements = append(settlements, webservice.Settlement{Push: p, Verdict: webservice.Told})
	}
	if _, err := s.Settle(t.Context(), settlements); err != nil {
		t.Fatal(err)
	}
	settled := snapshot(t, path)

	for name, tt := range map[string]struct {
		path      string
		now       time.Time
		want      int
		atVersion time.Time
	}{
		"registered":             {registered, begin, 0, begin.Truncate(time.Second)},
		"changed":                {changed, begin, devices, begin.Truncate(time.Second).Add(time.Second)},
		"while pushing":          {under, begin, devices - 5, begin.Truncate(time.Second).Add(time.Second)},
		"while pushing, a lease": {underToo, begin.Add(2 * time.Minute), devices, begin.Truncate(time.Second).Add(time.Second)},
		"settled":                {settled, begin.Add(2 * time.Minute), devices - 5, begin.Truncate(time.Second).Add(time.Second)},
	} {
		c := open(t, tt.path)
		if got := claimAll(t, c, tt.now); len(got) != tt.want || len(slices.Compact(got)) != tt.want {
			t.Errorf("%s: %d are due, want %d: %q", name, len(got), tt.want, got)
		}
		at, err := c.Modified(t.Context(), webservice.ID{Type: passType, Serial: "shared"})
		if err != nil || !at.Equal(tt.atVersion) {
			t.Errorf("%s: modified %v, %v", name, at, err)
		}
		u, err := c.Updated(t.Context(), "d07", passType, 0)
		if err != nil || len(u.Serials) != 1 {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
}

// A log that is cut off anywhere has whole transactions: each number of the sequence
// was given out once, and a pass that changed has its push.
func TestTornLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passes.db")
	s := open(t, path)
	register(t, s, "d0", "0") // so that the tables are in the file's log, too
	const changes = 6
	for i := range changes {
		register(t, s, fmt.Sprint("d", i), fmt.Sprint(i))
		if _, err := s.Change(t.Context(), passType, []string{fmt.Sprint(i)}, begin); err != nil {
			t.Fatal(err)
		}
	}
	whole := snapshot(t, path)
	log, err := os.ReadFile(whole + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	main, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for n := len(log); n > 0; n -= 4999 { // a frame has 4120 bytes, so they are cut everywhere
		torn := filepath.Join(t.TempDir(), "torn.db")
		if err := os.WriteFile(torn, main, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(torn+"-wal", log[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		c := open(t, torn)
		var told, listed []string
		told = claimAll(t, c, begin)
		for i := range changes {
			u, err := c.Updated(t.Context(), fmt.Sprint("d", i), passType, 0)
			if err != nil {
				t.Fatal(err)
			}
			at, err := c.Modified(t.Context(), webservice.ID{Type: passType, Serial: fmt.Sprint(i)})
			if err != nil {
				t.Fatal(err)
			}
			if changed := len(u.Serials) == 1 && at.After(begin); changed {
				listed = append(listed, fmt.Sprint("d", i))
			}
		}
		if !slices.Equal(told, listed) {
			t.Fatalf("with %d of %d bytes, %q changed, and %q are to be told", n, len(log), listed, told)
		}
		seen[len(told)] = true
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for n := range changes + 1 {
		if !seen[n] {
			t.Errorf("no cut left %d changes", n)
		}
	}
}

// What docs/wallet-web-service.md says to do after going back to an old copy.
func TestGoingBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passes.db")
	s := open(t, path)
	for i := range 3 {
		register(t, s, "phone", fmt.Sprint(i))
	}
	old := snapshot(t, path)
	var tag int64
	for range 10 {
		if _, err := s.Change(t.Context(), passType, []string{"0"}, begin); err != nil {
			t.Fatal(err)
		}
		u, err := s.Updated(t.Context(), "phone", passType, tag)
		if err != nil {
			t.Fatal(err)
		}
		tag = u.Sequence
	}

	c := open(t, old)
	if _, err := sqlite.Connections(c)[0].ExecContext(t.Context(), "UPDATE sequence SET last = last + 1000000000"); err != nil {
		t.Fatal(err)
	}
	if change, err := c.Change(t.Context(), passType, []string{"0", "1", "2"}, begin); err != nil || change.Queued != 3 {
		t.Fatal(change, err)
	}
	if u, err := c.Updated(t.Context(), "phone", passType, tag); err != nil || len(u.Serials) != 3 || u.Sequence <= tag {
		t.Errorf("since %d: %+v, %v", tag, u, err)
	}
}

// Two programs share a file: openings, registrations and pushes at the same time.
func TestTwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passes.db")
	const each = 30
	var working sync.WaitGroup
	for process := range 3 {
		working.Go(func() {
			s, err := sqlite.Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			for i := range each {
				serial := fmt.Sprint(process, ".", i)
				_, err := s.Register(t.Context(), webservice.Registration{ID: webservice.ID{Type: passType, Serial: serial}, Device: serial, DeviceToken: "00ff", Time: begin})
				if err != nil {
					t.Error(err)
				}
				if c, err := s.Change(t.Context(), passType, []string{serial}, begin); err != nil || c.Queued != 1 {
					t.Errorf("%+v, %v", c, err)
				}
			}
		})
	}
	working.Wait()
	if got := claimAll(t, open(t, path), begin); len(got) != 3*each || len(slices.Compact(got)) != 3*each {
		t.Errorf("%d pushes", len(got))
	}
}

func TestOpen(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "odd name?#%.db")
	s := open(t, path)
	register(t, s, "d", "1")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if info, err := os.Stat(path + suffix); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", suffix, info, err)
		}
	}

	for name, path := range map[string]string{"": "path is needed", ":memory:": "path is needed", filepath.Join(folder, "none", "x.db"): "no such file"} {
		if _, err := sqlite.Open(name); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", name, err)
		}
	}

	text := filepath.Join(folder, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database. ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(text); err == nil || !strings.Contains(err.Error(), "not a database") {
		t.Error(err)
	}

	for name, statement := range map[string]string{
		"tables and indexes of another program": "CREATE TABLE customers (name TEXT)",
		"made by a newer one":                   "PRAGMA user_version = 99",
	} {
		other := filepath.Join(folder, name)
		db, err := sql.Open("sqlite", other)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := sqlite.Open(other); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Settings are those of every connection, also of those that come later.
func TestSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passes.db")
	s := open(t, path)
	register(t, s, "d", "1")
	for name, want := range map[string]string{"journal_mode": "wal", "foreign_keys": "1", "synchronous": "2", "busy_timeout": "30000"} {
		for _, db := range sqlite.Connections(s) {
			var got string
			if err := db.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %s, %v; want %s", name, got, err, want)
			}
		}
	}
	for _, db := range sqlite.Connections(s) {
		for _, check := range []string{"integrity_check", "foreign_key_check"} {
			var found string
			err := db.QueryRowContext(t.Context(), "PRAGMA "+check).Scan(&found)
			if err == nil && found != "ok" || err != nil && err != sql.ErrNoRows {
				t.Errorf("%s: %s, %v", check, found, err)
			}
		}
	}
	if _, err := sqlite.Connections(s)[1].ExecContext(t.Context(), "DELETE FROM devices"); err == nil {
		t.Error("a reader wrote")
	}
}

// A claim must cost what it returns: none of the statements may look at all of a table.
func TestNoScans(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "passes.db"))
	texts := sqlite.Statements(s)
	if len(texts) < 15 {
		t.Fatalf("only %d statements", len(texts))
	}
	for _, text := range texts {
		var parameters []any
		for strings.Contains(text, fmt.Sprint("?", len(parameters)+1)) {
			parameters = append(parameters, 1)
		}
		rows, err := sqlite.Connections(s)[0].QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, parameters...)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(step, "SCAN") && step != "SCAN sequence" && !strings.HasPrefix(step, "SCAN CONSTANT") ||
				strings.Contains(step, "TEMP B-TREE") && !strings.Contains(text, "ORDER BY latest") {
				t.Errorf("%s\n\t%s", text, step)
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
