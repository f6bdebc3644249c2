package gateway

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"aviso.example/legacy"
)

const (
	// flushEvery is how long a dead device token may wait to be written down: one
	// that a crash loses is found dead again when it is sent to again.
	flushEvery = 200 * time.Millisecond
	// mostUnwritten bounds what waits if the disk does not take it.
	mostUnwritten = 1 << 16
	// feedbackAge is how long an entry is kept that nobody reads.
	feedbackAge = 90 * 24 * time.Hour
	// pageSize is how many entries are read at once.
	pageSize = 1000
)

// deadList keeps what the feedback service tells: for each provider, the device
// tokens that APNs called dead, and since when. Reading empties it.
type deadList struct {
	db  *bolt.DB
	log *slog.Logger
	now func() time.Time

	// writing is held from taking what waits until it is written, so that whoever
	// reads the list waits for it.
	writing sync.Mutex
	mu      sync.Mutex // guards what follows
	waiting map[listKey]time.Time
	wake    chan struct{}
	done    chan struct{}
	closed  bool
}

// listKey is a device token, in hexadecimal digits, of a provider.
type listKey struct{ provider, deviceToken string }

// openDeadList opens the file, or makes it.
func openDeadList(path string, log *slog.Logger, now func() time.Time) (*deadList, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("gateway: the feedback list %s cannot be opened: %w; another gateway may be using it", path, err)
	}
	l := &deadList{db: db, log: log, now: now, waiting: map[listKey]time.Time{}, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go l.run()
	return l, nil
}

// add notes a dead device token. It does not wait for the disk.
func (l *deadList) add(provider, deviceToken string, since time.Time) {
	l.mu.Lock()
	key := listKey{provider, deviceToken}
	if _, known := l.waiting[key]; !l.closed && (known || len(l.waiting) < mostUnwritten) {
		l.waiting[key] = since
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run writes down what comes, until close.
func (l *deadList) run() {
	defer close(l.done)
	l.prune()
	daily := time.NewTicker(24 * time.Hour)
	defer daily.Stop()
	for {
		select {
		case <-daily.C:
			l.prune()
		case <-l.wake:
			if !l.flush() {
				return
			}
			time.Sleep(flushEvery)
		}
	}
}

// prune takes out what nobody has read for so long that nobody will.
func (l *deadList) prune() {
	var providers []string
	oldest := l.now().Add(-feedbackAge).Unix()
	err := l.db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
			providers = append(providers, string(name))
			return nil
		})
	})
	for _, provider := range providers {
		err = errors.Join(err, l.drop(provider, func(value []byte) bool { return int64(binary.BigEndian.Uint64(value[16:])) < oldest }))
	}
	if err != nil {
		l.log.Error("old entries of the feedback list cannot be taken out", "error", err)
	}
}

// flush writes what is waiting and says whether there may be more.
func (l *deadList) flush() bool {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	waiting, closed := l.waiting, l.closed
	l.waiting = map[listKey]time.Time{}
	l.mu.Unlock()
	if len(waiting) > 0 {
		if err := l.db.Update(func(tx *bolt.Tx) error { return put(tx, waiting, l.now()) }); err != nil {
			l.log.Error("dead device tokens cannot be written down; they will be found again", "entries", len(waiting), "error", err)
		}
	}
	return !closed
}

// An entry's value is its number, which grows; since when the device token is
// dead; and when that was written down; both times in UNIX seconds.
const entrySize = 24

func put(tx *bolt.Tx, entries map[listKey]time.Time, now time.Time) error {
	for key, since := range entries {
		b, err := tx.CreateBucketIfNotExists([]byte(key.provider))
		if err != nil {
			return err
		}
		deviceToken, err := hex.DecodeString(key.deviceToken)
		if err != nil {
			continue // it was made from bytes
		}
		number, err := b.NextSequence()
		if err != nil {
			return err
		}
		var value [entrySize]byte
		binary.BigEndian.PutUint64(value[:], number)
		binary.BigEndian.PutUint64(value[8:], uint64(since.Unix()))
		binary.BigEndian.PutUint64(value[16:], uint64(now.Unix()))
		if err := b.Put(deviceToken, value[:]); err != nil {
			return err
		}
	}
	return nil
}

// snapshot returns the number of the newest entry of a provider.
func (l *deadList) snapshot(provider string) (newest uint64, err error) {
	l.flush()
	err = l.db.View(func(tx *bolt.Tx) error {
		if b := tx.Bucket([]byte(provider)); b != nil {
			newest = b.Sequence()
		}
		return nil
	})
	return newest, err
}

// page appends the tuples of some entries up to the number newest, and returns the
// device token from which to go on, or nil.
func (l *deadList) page(provider string, newest uint64, from, dst []byte) (tuples, next []byte, entries int, err error) {
	oldest := l.now().Add(-feedbackAge).Unix()
	err = l.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(provider))
		if b == nil {
			return nil
		}
		seen, c := 0, b.Cursor()
		for key, value := c.Seek(from); key != nil; key, value = c.Next() {
			if seen++; seen > pageSize {
				next = append([]byte(nil), key...)
				return nil
			}
			if len(value) != entrySize || binary.BigEndian.Uint64(value) > newest || int64(binary.BigEndian.Uint64(value[16:])) < oldest {
				continue
			}
			u := legacy.Unregistered{DeviceToken: hex.EncodeToString(key), Since: time.Unix(int64(binary.BigEndian.Uint64(value[8:])), 0)}
			if more, err := u.Append(dst); err == nil {
				dst = more
				entries++
			}
		}
		return nil
	})
	return dst, next, entries, err
}

// remove takes out every entry up to the number newest: they were read.
func (l *deadList) remove(provider string, newest uint64) error {
	return l.drop(provider, func(value []byte) bool { return binary.BigEndian.Uint64(value) <= newest })
}

// drop takes out the entries whose value is damaged or old says so, a page at a
// time, so that nobody waits for long.
func (l *deadList) drop(provider string, old func(value []byte) bool) error {
	for from := []byte(nil); ; {
		var next []byte
		var read [][]byte
		err := l.db.View(func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte(provider))
			if b == nil {
				return nil
			}
			seen, c := 0, b.Cursor()
			for key, value := c.Seek(from); key != nil; key, value = c.Next() {
				if seen++; seen > pageSize {
					next = append([]byte(nil), key...)
					break
				}
				if len(value) != entrySize || old(value) {
					read = append(read, append([]byte(nil), key...))
				}
			}
			return nil
		})
		if err == nil && len(read) > 0 {
			err = l.db.Update(func(tx *bolt.Tx) error { return deleteOld(tx.Bucket([]byte(provider)), read, old) })
		}
		if err != nil || next == nil {
			return err
		}
		from = next
	}
}

// deleteOld deletes entries that are still old: one may have been found again
// since it was looked at.
func deleteOld(b *bolt.Bucket, keys [][]byte, old func(value []byte) bool) error {
	for _, key := range keys {
		if value := b.Get(key); len(value) == entrySize && !old(value) {
			continue
		}
		if err := b.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// close writes what is waiting and closes the file.
func (l *deadList) close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	<-l.done
	l.flush()
	return l.db.Close()
}
