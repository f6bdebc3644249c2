package storetest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"aviso.example/wallet/webservice"
)

// Memory is a webservice.Store that forgets everything with the process. It is the
// plainest one that is right, for tests of programs and to compare others with. The
// zero value is ready to use.
type Memory struct {
	mu       sync.Mutex
	sequence int64
	devices  map[string]*device
	items    map[webservice.ID]*item
}

type device struct {
	deviceToken   string
	registered    time.Time
	registrations map[webservice.ID]int64 // with their numbers
	pushes        map[string]*push        // by type
}

type item struct{ sequence, modified int64 }

type push struct {
	sequence int64
	due      time.Time
	attempts int
}

var _ webservice.Store = (*Memory)(nil)

func (m *Memory) lock(ctx context.Context) (unlock func(), err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	if m.devices == nil {
		m.devices, m.items = map[string]*device{}, map[webservice.ID]*item{}
	}
	return m.mu.Unlock, nil
}

func (m *Memory) next() int64 {
	m.sequence++
	return m.sequence
}

// Register implements webservice.Store.
func (m *Memory) Register(ctx context.Context, r webservice.Registration) (created bool, err error) {
	unlock, err := m.lock(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	d := m.devices[r.Device]
	if d == nil {
		d = &device{deviceToken: r.DeviceToken, registrations: map[webservice.ID]int64{}, pushes: map[string]*push{}}
		m.devices[r.Device] = d
	}
	if d.deviceToken != r.DeviceToken {
		number := m.next()
		for _, p := range d.pushes {
			*p = push{sequence: number, due: r.Time}
		}
	}
	d.deviceToken, d.registered = r.DeviceToken, r.Time
	if _, ok := d.registrations[r.ID]; ok {
		return false, nil
	}
	d.registrations[r.ID] = m.next()
	if m.items[r.ID] == nil {
		m.items[r.ID] = &item{modified: r.Time.Unix()}
	}
	return true, nil
}

// Unregister implements webservice.Store.
func (m *Memory) Unregister(ctx context.Context, name string, id webservice.ID) error {
	unlock, err := m.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	d := m.devices[name]
	if d == nil {
		return nil
	}
	delete(d.registrations, id)
	sameType := func(other webservice.ID) bool { return other.Type == id.Type }
	if !slices.ContainsFunc(slices.Collect(maps.Keys(d.registrations)), sameType) {
		delete(d.pushes, id.Type)
	}
	if len(d.registrations) == 0 {
		delete(m.devices, name)
	}
	return nil
}

// Updated implements webservice.Store.
func (m *Memory) Updated(ctx context.Context, name, typ string, since int64) (webservice.Updated, error) {
	unlock, err := m.lock(ctx)
	if err != nil {
		return webservice.Updated{}, err
	}
	defer unlock()
	d := m.devices[name]
	if d == nil {
		return webservice.Updated{}, nil
	}
	latest := map[string]int64{}
	for id, number := range d.registrations {
		number = max(number, m.items[id].sequence)
		if id.Type == typ && (number > since || since > m.sequence) {
			latest[id.Serial] = number
		}
	}
	u := webservice.Updated{Serials: slices.SortedFunc(maps.Keys(latest), func(a, b string) int { return cmp.Compare(latest[a], latest[b]) })}
	if n := len(u.Serials); n > 0 {
		u.Sequence = latest[u.Serials[n-1]]
	}
	return u, nil
}

// Modified implements webservice.Store.
func (m *Memory) Modified(ctx context.Context, id webservice.ID) (time.Time, error) {
	unlock, err := m.lock(ctx)
	if err != nil {
		return time.Time{}, err
	}
	defer unlock()
	if i := m.items[id]; i != nil {
		return time.Unix(i.modified, 0), nil
	}
	return time.Time{}, nil
}

// Change implements webservice.Store.
func (m *Memory) Change(ctx context.Context, typ string, serials []string, now time.Time) (webservice.Change, error) {
	unlock, err := m.lock(ctx)
	if err != nil {
		return webservice.Change{}, err
	}
	defer unlock()
	var change webservice.Change
	for _, serial := range slices.Compact(slices.Sorted(slices.Values(serials))) {
		id := webservice.ID{Type: typ, Serial: serial}
		i := m.items[id]
		if i == nil {
			continue
		}
		change.Known++
		i.sequence, i.modified = m.next(), max(now.Unix(), i.modified+1)
		for _, d := range m.devices {
			if _, ok := d.registrations[id]; !ok {
				continue
			}
			change.Queued++
			p := d.pushes[typ]
			if p == nil {
				p = &push{due: now}
				d.pushes[typ] = p
			}
			p.sequence, p.attempts = i.sequence, 0
			if now.Before(p.due) {
				p.due = now
			}
		}
	}
	return change, nil
}

// Claim implements webservice.Store.
func (m *Memory) Claim(ctx context.Context, typ string, limit int, now, until time.Time) ([]webservice.Push, error) {
	unlock, err := m.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var due []string
	for name, d := range m.devices {
		if p := d.pushes[typ]; p != nil && (!p.due.After(now) || p.due.After(now.Add(webservice.MaxDue))) {
			due = append(due, name)
		}
	}
	slices.SortFunc(due, func(a, b string) int {
		p, q := m.devices[a].pushes[typ].due, m.devices[b].pushes[typ].due
		return cmp.Or(p.Compare(q), cmp.Compare(a, b))
	})
	var claimed []webservice.Push
	for _, name := range due[:min(limit, len(due))] {
		d := m.devices[name]
		p := d.pushes[typ]
		p.due = until
		claimed = append(claimed, webservice.Push{
			Type: typ, Device: name, DeviceToken: d.deviceToken, Registered: d.registered, Sequence: p.sequence, Attempts: p.attempts,
		})
	}
	return claimed, nil
}

// Settle implements webservice.Store.
func (m *Memory) Settle(ctx context.Context, settlements []webservice.Settlement) (removed int, err error) {
	unlock, err := m.lock(ctx)
	if err != nil {
		return 0, err
	}
	defer unlock()
	for _, s := range settlements {
		d := m.devices[s.Device]
		if d == nil {
			continue
		}
		if s.Verdict == webservice.Gone && d.deviceToken == s.DeviceToken && d.registered.Before(s.Time) {
			delete(m.devices, s.Device)
			removed++
			continue
		}
		p := d.pushes[s.Type]
		if p == nil || p.sequence != s.Sequence {
			continue
		}
		switch s.Verdict {
		case webservice.Later:
			p.due = s.Time
			p.attempts++
		case webservice.Returned, webservice.Gone:
			p.due = time.Time{}
		default:
			delete(d.pushes, s.Type)
		}
	}
	return removed, nil
}
