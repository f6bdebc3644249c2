package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"aviso.example/internal/namedfile"
)

// settle is how long files have to be at rest before they are read: editors and
// Kubernetes change them in several steps. Other files may change beside them all
// the time.
const settle = 200 * time.Millisecond

// reloader takes over changes of the configuration and of the files it names.
type reloader struct {
	load  func() (*serverConfig, error)
	apply func(*serverConfig) error
	log   *slog.Logger

	current *serverConfig
	// files were read by the last load, and digest is of what was in them just
	// before, so that a change during the load is noticed after it.
	files  []string
	digest [sha256.Size]byte
	seen   [sha256.Size]byte // by the last look

	watcher *fsnotify.Watcher // nil if there can be none
	watched map[string]bool   // directories
}

// newReloader begins with a configuration that was just loaded. It returns when ctx is
// done, even if a file keeps it waiting.
func newReloader(ctx context.Context, load func() (*serverConfig, error), log *slog.Logger) (*reloader, error) {
	r := &reloader{load: load, log: log, watched: map[string]bool{}}
	var err error
	if r.watcher, err = fsnotify.NewWatcher(); err != nil {
		log.Warn("files cannot be watched; after a change of keys or configuration send SIGHUP", "error", err)
	}
	first := make(chan reading, 1)
	go func() { first <- r.read("start") }()
	select {
	case result := <-first:
		r.current, err = result.config, result.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *reloader) close() error {
	if r.watcher == nil {
		return nil
	}
	return r.watcher.Close()
}

// fresh loads until the files that were read are those whose digest was taken.
func (r *reloader) fresh() (c *serverConfig, err error) {
	for range 3 {
		r.watch() // before the digest, so that nothing can change between the two unseen
		r.digest = digestOf(r.files)
		c, err = r.load()
		read := r.files
		if c != nil {
			read = slices.Sorted(maps.Keys(setOf(c.read)))
		}
		if err != nil { // what is missing now may come back
			read = slices.Sorted(maps.Keys(setOf(append(slices.Clone(read), r.files...))))
		}
		if slices.Equal(read, r.files) {
			break
		}
		r.files = read
	}
	return c, err
}

func setOf(list []string) map[string]bool {
	set := map[string]bool{}
	for _, s := range list {
		set[s] = true
	}
	return set
}

// watch watches the folders in which a change can put another file behind a name. It
// is called before each look: a link that points elsewhere, or a folder that was
// replaced, brings folders that were not watched before, though no name has changed.
func (r *reloader) watch() {
	if r.watcher == nil {
		return
	}
	wanted := map[string]bool{}
	for _, f := range r.files {
		for _, dir := range foldersOf(f) {
			wanted[present(dir)] = true
		}
	}
	for dir := range r.watched {
		if !wanted[dir] {
			r.watcher.Remove(dir) // it may be gone already
		}
	}
	for dir := range wanted {
		// What has the name of a watched folder may be another one by now.
		if err := r.watcher.Add(dir); err != nil && !r.watched[dir] {
			r.log.Warn("a folder cannot be watched; after a change in it send SIGHUP", "folder", dir, "error", err)
		}
	}
	r.watched = wanted
}

// present is a folder, or the nearest one above it that is there: in which it will appear.
func present(dir string) string {
	for {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// mostLinks bounds the links on the way to one file, as Linux does.
const mostLinks = 40

// foldersOf returns the folders in which a change can make a path lead to another file:
// the one that holds the file, and those of the links on the way to it. They are given
// as they are reached without a link, each under one name, as the watcher has to know
// them. The way is gone as the system goes it: two dots after a link lead out of where
// the link points.
func foldersOf(path string) (list []string) {
	const separator = string(filepath.Separator)
	volume := filepath.VolumeName(path)
	done, rest := volume+separator, path[len(volume):]
	for links := 0; rest != "" && links < mostLinks; {
		var part string
		part, rest, _ = strings.Cut(rest, separator)
		switch part {
		case "", ".":
			continue
		case "..":
			done = filepath.Dir(done)
			continue
		}
		target, err := os.Readlink(filepath.Join(done, part))
		if err != nil { // no link
			done = filepath.Join(done, part)
			continue
		}
		links++
		list = append(list, done)
		if filepath.IsAbs(target) {
			volume = filepath.VolumeName(target)
			done, target = volume+separator, target[len(volume):]
		}
		rest = target + separator + rest
	}
	return append(list, filepath.Dir(done))
}

// events and errors of the watcher; nil channels without one.
func (r *reloader) events() (<-chan fsnotify.Event, <-chan error) {
	if r.watcher == nil {
		return nil, nil
	}
	return r.watcher.Events, r.watcher.Errors
}

// look says whether files have other content than when they were loaded, and
// whether they are at rest: the same as at the look before.
func (r *reloader) look() (changed, rest bool) {
	now := digestOf(r.files)
	changed, rest = now != r.digest, now == r.seen
	r.seen = now
	return changed, rest
}

// digestOf is of the content of files; that one cannot be read is content too.
func digestOf(files []string) (sum [sha256.Size]byte) {
	all := sha256.New()
	for _, name := range files {
		one := sha256.New()
		err := func() error {
			if err := namedfile.Check(name); err != nil {
				return err
			}
			f, err := namedfile.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(one, io.LimitReader(f, maxConfigFile+1))
			return err
		}()
		fmt.Fprintf(all, "%q %x %v\n", name, one.Sum(nil), err != nil)
	}
	return [sha256.Size]byte(all.Sum(nil))
}

// reading is what came of reading the files once.
type reading struct {
	cause  string // "" if there was no reason to load
	unrest bool   // the files are being changed
	config *serverConfig
	err    error
}

// read looks at the files, and loads them if they have changed or a cause is given.
func (r *reloader) read(cause string) (result reading) {
	if cause == "" {
		r.watch()
		changed, rest := r.look()
		if !changed || !rest {
			return reading{unrest: changed}
		}
		cause = "a file has changed"
	}
	result.cause = cause
	result.config, result.err = r.fresh()
	return result
}

// takeOver takes over what was loaded, or keeps everything as it is and says why.
func (r *reloader) takeOver(from reading) {
	cause, c, err := from.cause, from.config, from.err
	if err == nil {
		err = r.apply(c)
	}
	if err != nil {
		r.log.Error("the new configuration is wrong; the server goes on with the old one", "cause", cause, "error", err)
		return
	}
	if fixed := fixedChanges(r.current, c); len(fixed) > 0 {
		r.log.Warn("these changes take effect at the next start", "keys", strings.Join(fixed, ", "))
	}
	r.log.Info("configuration loaded", "cause", cause, "apps", len(c.engine.Apps))
	tellTopicChanges(r.log, r.current.engine.Apps, c.engine.Apps)
	logExpiries(r.log, c.engine.Apps)
	r.current = c
}

// silenceOfFiles is for how long files may keep the reloader waiting before it is said.
const silenceOfFiles = 15 * time.Second

// attend reloads when it has to, until the server is to stop, or has ended and says
// why. Files are read beside it: one on a mount that hangs must not keep the server
// from stopping.
func (r *reloader) attend(ctx context.Context, hup <-chan os.Signal, ended <-chan error) error {
	events, problems := r.events()
	timer := time.NewTimer(settle) // something may have changed while the server started
	defer timer.Stop()
	logExpiries(r.log, r.current.engine.Apps)
	daily := time.NewTicker(24 * time.Hour)
	defer daily.Stop()
	results := make(chan reading, 1)
	silent := time.NewTimer(0)
	<-silent.C
	defer silent.Stop()
	pending, busy := true, false
	asked := "" // a cause that came while it was busy
	lookSoon := func() {
		if !pending {
			pending = true
			timer.Reset(settle)
		}
	}
	read := func(cause string) {
		if busy {
			asked = cmp.Or(cause, asked)
			if cause == "" {
				lookSoon()
			}
			return
		}
		busy = true
		silent.Reset(silenceOfFiles)
		go func() { results <- r.read(cause) }()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return err
		case <-daily.C:
			logExpiries(r.log, r.current.engine.Apps)
		case <-hup:
			read("SIGHUP")
		case _, ok := <-events:
			if !ok {
				events = nil
			}
			lookSoon()
		case err, ok := <-problems:
			if !ok {
				problems = nil
				continue
			}
			r.log.Warn("files cannot be watched; after a change of keys or configuration send SIGHUP", "error", err)
		case <-timer.C:
			pending = false
			read("")
		case <-silent.C:
			r.log.Error("a file that the configuration names cannot be read for long; is it on a mount that hangs? Changes are taken over when it answers")
		case result := <-results:
			busy = false
			silent.Stop()
			if result.unrest {
				lookSoon()
			}
			if result.cause != "" {
				r.takeOver(result)
			}
			if cause := asked; cause != "" {
				asked = ""
				read(cause)
			}
		}
	}
}

// fixedChanges lists the keys whose change a running server cannot take over.
func fixedChanges(before, after *serverConfig) (list []string) {
	for name := range serverKeys {
		if name == "gateway.certificate" || name == "gateway.password_file" {
			continue // aviso gateway takes them over, and aviso serve has no use for them
		}
		if !reflect.DeepEqual(before.settings[name].value, after.settings[name].value) {
			list = append(list, name)
		}
	}
	if len(list) == 0 && before.apiKey != after.apiKey {
		list = append(list, "the API key")
	}
	slices.Sort(list)
	return list
}
