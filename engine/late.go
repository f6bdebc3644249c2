package engine

import (
	"context"
	"maps"
	"slices"

	"aviso.example/apns"
)

// An engine on a cluster can be stopped for longer than its lease: by SIGSTOP, by a
// laptop's lid, by a network that is gone. Another takes the chunk over and sends
// it; then the first one wakes up, and what it hears of its own attempt, or had
// handed to the network before, becomes a second verdict. No check before a write
// prevents that, since the write itself can be what is late.
//
// So it is the order of the log that decides. All engines read it in the same
// order: a notification's first end is its end, and what comes after that is late
// and is nowhere to be seen, in no list and no count, unless a person has a dead
// letter sent again in between. A copy that it put back for another attempt ends
// like any copy that is out of date.
//
// To look for an earlier end at every verdict would be too much. Of two leases of
// one chunk the second knows that it is not the first, so it marks its verdicts;
// only where there is such a mark is anything looked up.

// lateVerdicts are those that are not to be seen. It is read from the log again
// with the counts.
type lateVerdicts struct {
	// Records holds, by the sequence of a record, the places in it.
	Records map[uint64][]int
	// TakenOver holds ranges of notifications of which some were taken over, with
	// the last record that says so.
	TakenOver map[uint64]uint64
}

func newLateVerdicts() lateVerdicts {
	return lateVerdicts{map[uint64][]int{}, map[uint64]uint64{}}
}

// trim forgets what the log does not hold any more.
func (l *lateVerdicts) trim(first uint64) {
	maps.DeleteFunc(l.Records, func(seq uint64, _ []int) bool { return seq < first })
	maps.DeleteFunc(l.TakenOver, func(_, seq uint64) bool { return seq < first })
}

// eachInTime reads a record without the places that are late.
func eachInTime(data []byte, late []int, each func(*rawVerdict)) error {
	place := 0
	return readVerdicts(data, func(v *rawVerdict) {
		if len(late) == 0 || !slices.Contains(late, place) {
			each(v)
		}
		place++
	})
}

func (l *ledger) lateOf(seq uint64) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.late.Records[seq]
}

// standing is how a notification stands after some of its verdicts.
type standing struct {
	state   State
	round   uint32
	revived bool // a person has it sent again
}

// take takes the next verdict, and reports whether it is late.
func (s *standing) take(v *rawVerdict) (late bool) {
	revives := v.state == Queued && State(v.attempts).Final()
	switch {
	case s.state.Final() && !revives, // it has ended
		s.state != 0 && !s.state.Final() && revives, // it was revived by somebody else already
		s.revived && v.round <= s.round && !revives: // of the life before
		return true
	}
	s.revived = revives || s.revived
	s.state, s.round = v.state, v.round
	return false
}

// lateIn returns the ranges that a record marks as taken over, and which of its
// verdicts are late.
func (l *ledger) lateIn(ctx context.Context, seq uint64, data []byte) (takenOver []uint64, late []int, err error) {
	type id struct {
		unit   apns.ID
		number uint32
	}
	states := map[id]*standing{}
	var keys []uint64 // to look up
	last, marked := uint64(0), false
	readVerdicts(data, func(v *rawVerdict) {
		if key := rangeKey(&v.unit, v.number); key != last {
			last = key
			marked = v.takenOver
			if !marked {
				l.mu.Lock()
				_, marked = l.late.TakenOver[key]
				l.mu.Unlock()
			} else {
				takenOver = append(takenOver, key)
			}
			if marked {
				keys = append(keys, key)
			}
		}
		if marked {
			states[id{v.unit, v.number}] = &standing{}
		}
	})
	if len(keys) == 0 {
		return nil, nil, nil
	}
	var earlier []uint64
	for _, key := range keys {
		for s, err := range l.index.Lookup(key, 0, seq-1) {
			if err != nil {
				return nil, nil, err
			}
			earlier = append(earlier, s)
		}
	}
	slices.Sort(earlier)
	for _, s := range slices.Compact(earlier) {
		record, err := l.record(ctx, s)
		if err != nil {
			return nil, nil, err
		}
		if record == nil {
			continue
		}
		// One that cannot be read was complained of when it was taken in.
		eachInTime(record, l.lateOf(s), func(v *rawVerdict) {
			if state := states[id{v.unit, v.number}]; state != nil {
				state.take(v)
			}
		})
	}
	place := 0
	readVerdicts(data, func(v *rawVerdict) {
		if state := states[id{v.unit, v.number}]; state != nil && state.take(v) {
			late = append(late, place)
		}
		place++
	})
	return takenOver, late, nil
}
