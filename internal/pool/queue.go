package pool

import (
	"container/heap"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"aviso.example/internal/h2"
)

// Where a call is, as noted in its Link.
const (
	nowhere  = iota // with its owner, or just ended
	incoming        // on the stack of new calls
	queued          // in line
	delayed         // waiting for its time
	onConn          // with Link.Conn, or ended by it a moment ago
)

// queue holds the calls that no connection has. It is the h2.Source of every
// connection.
type queue struct {
	// fresh is a stack of calls not yet in line; pushing is one exchange.
	fresh atomic.Pointer[h2.Call]
	// hungryN mirrors len(hungry) for those who do not hold mu.
	hungryN atomic.Int32

	mu         sync.Mutex // guards everything below
	head, tail *h2.Call
	n          int
	later      delays
	hungry     []*h2.Conn // found the queue empty and wait to be woken, oldest first
	emptied    uint64     // how often a connection found the queue empty
}

// push adds a call at the end. The call must be nowhere.
func (q *queue) push(call *h2.Call) {
	call.Link.Where = incoming
	for {
		top := q.fresh.Load()
		call.Link.Next = top
		if q.fresh.CompareAndSwap(top, call) {
			return
		}
	}
}

// settle puts the fresh calls in line, in the order they came. Callers hold mu.
func (q *queue) settle() {
	top := q.fresh.Swap(nil)
	var first *h2.Call
	for top != nil { // the stack has the newest on top
		next := top.Link.Next
		top.Link.Next = first
		first, top = top, next
	}
	for first != nil {
		next := first.Link.Next
		q.append(first)
		first = next
	}
}

func (q *queue) append(call *h2.Call) {
	call.Link.Where, call.Link.Next, call.Link.Prev = queued, nil, q.tail
	if q.tail == nil {
		q.head = call
	} else {
		q.tail.Link.Next = call
	}
	q.tail = call
	q.n++
}

func (q *queue) prepend(call *h2.Call) {
	call.Link.Where, call.Link.Next, call.Link.Prev = queued, q.head, nil
	if q.head == nil {
		q.tail = call
	} else {
		q.head.Link.Prev = call
	}
	q.head = call
	q.n++
}

func (q *queue) unlink(call *h2.Call) {
	next, prev := call.Link.Next, call.Link.Prev
	if prev == nil {
		q.head = next
	} else {
		prev.Link.Next = next
	}
	if next == nil {
		q.tail = prev
	} else {
		next.Link.Prev = prev
	}
	call.Link.Where, call.Link.Next, call.Link.Prev = nowhere, nil, nil
	q.n--
}

// Take implements h2.Source.
func (q *queue) Take(c *h2.Conn, into []*h2.Call) int {
	q.mu.Lock()
	q.starve(c)
	q.settle()
	n := 0
	for n < len(into) && q.head != nil {
		call := q.head
		q.unlink(call)
		call.Link.Where, call.Link.Conn = onConn, c
		into[n] = call
		n++
		if q.head == nil {
			q.settle()
		}
	}
	if n < len(into) {
		q.emptied++
		q.hungry = append(q.hungry, c)
		q.hungryN.Store(int32(len(q.hungry)))
		// A call pushed since settle did not see this connection among the
		// hungry ones; whoever looks second sees both.
		if q.fresh.Load() != nil {
			defer c.Wake()
		}
	}
	var other *h2.Conn
	if q.head != nil {
		other = q.feed()
	}
	q.mu.Unlock()
	if other != nil {
		other.Wake()
	}
	return n
}

// starve takes a connection off the list of hungry ones. Callers hold mu.
func (q *queue) starve(c *h2.Conn) {
	if i := slices.Index(q.hungry, c); i >= 0 {
		q.hungry = slices.Delete(q.hungry, i, i+1)
		q.hungryN.Store(int32(len(q.hungry)))
	}
}

// forget is starve for those who do not hold mu.
func (q *queue) forget(c *h2.Conn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.starve(c)
}

// feed picks the connection that has been hungry the longest, so that traffic
// is spread. Callers hold mu and wake it afterwards.
func (q *queue) feed() *h2.Conn {
	if len(q.hungry) == 0 {
		return nil
	}
	c := q.hungry[0]
	q.starve(c)
	return c
}

// offer wakes a hungry connection if there is one and work for it.
func (q *queue) offer() {
	q.mu.Lock()
	q.settle()
	var c *h2.Conn
	if q.head != nil {
		c = q.feed()
	}
	q.mu.Unlock()
	if c != nil {
		c.Wake()
	}
}

// again puts a call back: at the front, or after a delay. It returns false, and
// does nothing, if the call was cancelled meanwhile.
func (q *queue) again(call *h2.Call, due time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if call.Link.Cancelled != nil {
		return false
	}
	call.Reset()
	if due.IsZero() {
		q.prepend(call)
	} else {
		call.Link.Due = due
		heap.Push(&q.later, call)
	}
	return true
}

// cancel marks a call so that it will not be sent again. held says that it was
// here and is now its owner's; otherwise conn, if not nil, may have it.
func (q *queue) cancel(call *h2.Call, cause error) (held bool, conn *h2.Conn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settle()
	call.Link.Cancelled = cause
	switch call.Link.Where {
	case queued:
		q.unlink(call)
		return true, nil
	case delayed:
		heap.Remove(&q.later, call.Link.Index)
		return true, nil
	case onConn:
		return false, call.Link.Conn
	}
	return false, nil
}

// sweep puts calls in line whose delay is over, removes those that have
// expired, and returns them with the time at which the next one will be due.
func (q *queue) sweep(now time.Time) (expired []*h2.Call, next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settle()
	sooner := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for len(q.later) > 0 && !q.later[0].Link.Due.After(now) {
		q.append(heap.Pop(&q.later).(*h2.Call))
	}
	if len(q.later) > 0 {
		sooner(q.later[0].Link.Due)
	}
	for call := q.head; call != nil; {
		following := call.Link.Next
		if at := call.NotAfter; !at.IsZero() && !at.After(now) {
			q.unlink(call)
			expired = append(expired, call)
		} else {
			sooner(at)
		}
		call = following
	}
	return expired, next
}

// clear removes the calls in line, and the delayed ones too if asked.
func (q *queue) clear(delayedToo bool) []*h2.Call {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settle()
	var all []*h2.Call
	for q.head != nil {
		all = append(all, q.head)
		q.unlink(q.head)
	}
	for delayedToo && len(q.later) > 0 {
		all = append(all, heap.Pop(&q.later).(*h2.Call))
	}
	return all
}

// load is what the manager wants to know.
type load struct {
	queued, delayed int
	emptied         uint64
}

func (q *queue) load() load {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settle()
	return load{q.n, len(q.later), q.emptied}
}

// delays is a heap of calls by Link.Due.
type delays []*h2.Call

func (d delays) Len() int           { return len(d) }
func (d delays) Less(i, j int) bool { return d[i].Link.Due.Before(d[j].Link.Due) }
func (d delays) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].Link.Index, d[j].Link.Index = i, j
}

func (d *delays) Push(x any) {
	call := x.(*h2.Call)
	call.Link.Where, call.Link.Index = delayed, len(*d)
	*d = append(*d, call)
}

func (d *delays) Pop() any {
	last := len(*d) - 1
	call := (*d)[last]
	(*d)[last], *d = nil, (*d)[:last]
	call.Link.Where = nowhere
	return call
}
