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
// one chunk the second knows that it is not the first, and of two rounds the later
// one, so it marks its verdicts; only where there is such a mark is anything looked
// up.

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

// anyTakenOver says that there is a mark on the log.
func (l *ledger) anyTakenOver() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.late.TakenOver) > 0
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
	revived bool   // a person has it sent again
	life    uint32 // and the round in which it had ended
}

// revives says that the verdict is of somebody who has an ended notification sent again.
func (v *rawVerdict) revives() bool { return v.state == Queued && State(v.attempts).Final() }

// take takes the next verdict, and reports whether it is late.
func (s *standing) take(v *rawVerdict) (late bool) {
	revives := v.revives()
	switch {
	case s.state.Final() && (!revives || v.round < s.round), // it has ended, or has been revived and ended again
		s.state != 0 && !s.state.Final() && revives, // it was revived by somebody else already
		s.revived && v.round <= s.life && !revives:  // of the life before
		return true
	}
	if revives {
		s.revived, s.life = true, v.round
	}
	s.state, s.round = v.state, v.round
	return false
}

// block is a range of notifications that the read index has one key for.
type block struct {
	unit  apns.ID
	place uint32
}

func blockOf(v *rawVerdict) block { return block{v.unit, v.number >> rangeBits} }

func (b block) key() uint64 { return rangeKey(&b.unit, b.place<<rangeBits) }

// maxBlocks bounds the blocks whose standings are kept in memory.
const maxBlocks = 256

// lateIn returns the ranges that a record marks as taken over, and which of its
// verdicts are late. It is for takeIn, which takes every record in turn: where
// there was a mark once, standings are known from then on.
func (l *ledger) lateIn(ctx context.Context, seq uint64, data []byte) (takenOver []uint64, late []int, err error) {
	var blocks []block // to look at
	var last block
	lastMarked := false
	readVerdicts(data, func(v *rawVerdict) {
		b := blockOf(v)
		if b == last && v.takenOver == lastMarked {
			return
		}
		last, lastMarked = b, v.takenOver
		key, marked := b.key(), v.takenOver
		if marked {
			takenOver = append(takenOver, key)
		} else {
			l.mu.Lock()
			_, marked = l.late.TakenOver[key]
			l.mu.Unlock()
		}
		if marked {
			blocks = append(blocks, b)
		}
	})
	if len(blocks) == 0 {
		return nil, nil, nil
	}
	if len(l.standings) > maxBlocks {
		clear(l.standings)
	}
	for _, b := range blocks {
		if l.standings[b] == nil {
			if l.standings[b], err = l.standing(ctx, b, seq-1); err != nil {
				delete(l.standings, b)
				return nil, nil, err
			}
		}
	}
	place := 0
	readVerdicts(data, func(v *rawVerdict) {
		if all := l.standings[blockOf(v)]; all != nil {
			s := all[v.number]
			if s.take(v) {
				late = append(late, place)
			}
			all[v.number] = s
		}
		place++
	})
	return takenOver, late, nil
}

// standing reads how the notifications of a block stand after a record.
func (l *ledger) standing(ctx context.Context, b block, through uint64) (map[uint32]standing, error) {
	earlier, err := l.lookupNow(b.key(), 0, through)
	if err != nil {
		return nil, err
	}
	all := map[uint32]standing{}
	for _, seq := range slices.Backward(earlier) {
		record, err := l.record(ctx, seq)
		if err != nil {
			return nil, err
		}
		if record == nil {
			continue // it is older than what is kept
		}
		// One that cannot be read was complained of when it was taken in.
		eachInTime(record, l.lateOf(seq), func(v *rawVerdict) {
			if blockOf(v) == b {
				s := all[v.number]
				s.take(v)
				all[v.number] = s
			}
		})
	}
	return all, nil
}
