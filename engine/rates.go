package engine

import (
	"maps"
	"time"

	"golang.org/x/time/rate"
)

// limiters are those of a queue; g.mu is held.
func (g *gates) limiters(q *queue) (list []*rate.Limiter) {
	if l := g.rates[q.app]; l != nil {
		list = append(list, l)
	}
	if l := g.batches[q.batch]; l != nil && !q.batch.IsZero() {
		list = append(list, l)
	}
	return list
}

func (g *gates) paced(q *queue) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.limiters(q)) > 0
}

// drain empties the limiters of a queue.
func (g *gates) drain(q *queue) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.limiters(q) {
		empty(l)
	}
}

// setRates takes over the rates of apps; g.mu is held.
func (g *gates) setRates(apps map[string]*appState) {
	for id, a := range apps {
		if l := g.limiter(g.rates[id], id, a.Rate); l != nil {
			g.rates[id] = l
		} else {
			delete(g.rates, id)
		}
	}
	maps.DeleteFunc(g.rates, func(id string, _ *rate.Limiter) bool { return apps[id] == nil })
}

// limiter keeps its state when the rate changes. The burst is a twentieth of a
// second: with as much that may wait for a connection, no second has more than the
// rate and a tenth.
func (g *gates) limiter(old *rate.Limiter, app string, perSecond float64) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	perSecond = g.engine.part(app, perSecond)
	burst := max(1, int(perSecond/paceShare))
	l := old
	if l == nil {
		l = rate.NewLimiter(0, burst)
	}
	// The life before, or the engine that had this part, may have sent some a moment ago.
	afterOthers := l.Limit() == 0 && (old != nil || time.Since(g.engine.began) < time.Second)
	l.SetLimit(rate.Limit(perSecond))
	l.SetBurst(burst)
	if afterOthers {
		empty(l)
	}
	return l
}

// empty has a limiter begin with nothing.
func empty(l *rate.Limiter) {
	burst := l.Burst()
	l.SetBurst(0)
	l.SetBurst(burst) // which is when the one before has its effect
}

// paceShare is the part of a second whose notifications may go at once.
const paceShare = 20

// limitBatch takes over the rate of a batch.
func (g *gates) limitBatch(b BatchID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	app, perSecond := g.engine.control.rate(b)
	if l := g.limiter(g.batches[b], app, perSecond); l != nil {
		g.batches[b] = l
	} else {
		delete(g.batches, b)
	}
}
