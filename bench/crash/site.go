package main

import (
	"errors"
	"path/filepath"
	"time"
)

// site is what a row runs against: one server, or two on a cluster.
type site interface {
	// up starts what is down and tells the callers.
	up() error
	// down kills a server under whatever it is doing; on a cluster the other
	// one stays.
	down()
	urls() []string
	// lease is how long what a dead server had may take to be taken over. A
	// server that is alone knows at its start that nobody else has anything.
	lease() time.Duration
	// close judges, with everything up, and stops it.
	close()
	// kill is for the end of a row that failed.
	kill()
}

// alone is a site of one server.
type alone struct {
	*rig
	server *server
}

func (a *alone) up() error {
	if a.server != nil {
		return nil
	}
	s, err := a.serve(0)
	if err != nil {
		return err
	}
	a.server = s
	a.load.at(s.url)
	return nil
}

func (a *alone) down() {
	a.server.kill()
	a.server = nil
	a.load.at()
	a.ended()
}

func (a *alone) urls() []string {
	if a.server == nil {
		return nil
	}
	return []string{a.server.url}
}

func (a *alone) lease() time.Duration { return 0 }

func (a *alone) close() {
	a.res.Bound = a.res.Ends * lanes * window
	a.settle(a.server)
	if err := a.server.stop(); err != nil {
		a.broken("the last engine: %v:\n%s", err, tail(a.log))
	}
}

func (a *alone) kill() {
	if a.server != nil {
		a.server.kill()
	}
}

// onOne plays a row against one server.
func onOne(play func(*rig, site) error) func(*rig) error {
	return func(r *rig) error {
		a := &alone{rig: r}
		defer a.kill()
		return play(r, a)
	}
}

// pair is a site of two servers on a cluster.
type pair struct {
	*cluster
	turn int
	gone bool
}

func (p *pair) up() error {
	if p.gone {
		p.gone = false
		if err := p.startEngine(p.turn % 2); err != nil {
			return err
		}
		p.turn++
	}
	p.listen()
	return nil
}

func (p *pair) down() {
	i := p.turn % 2
	p.ended()
	p.engines[i].kill()
	p.gone = true
	p.load.at(p.engines[1-i].url)
}

func (p *pair) urls() (list []string) {
	for i, e := range p.engines {
		if !p.gone || i != p.turn%2 {
			list = append(list, e.url)
		}
	}
	return list
}

func (p *pair) lease() time.Duration { return p.cluster.lease }

func (p *pair) close() {
	p.res.Bound = p.res.Ends * 2 * lanes * window
	p.settle(p.engines[0])
	for i, e := range p.engines {
		if err := e.stop(); err != nil {
			p.broken("server %d: %v:\n%s", i+1, err, tail(filepath.Join(p.dir, errorLog(i))))
		}
	}
}

func (p *pair) kill() { p.end() }

// onTwo plays a row against two servers.
func onTwo(play func(*rig, site) error) func(*rig) error {
	return func(r *rig) error {
		p := &pair{cluster: &cluster{rig: r, lease: shortLease}}
		defer p.kill()
		r.byTime = true
		if err := p.prepare(); err != nil {
			return errors.Join(err, errorf("the log of server 1 ends:\n%s", tail(filepath.Join(r.dir, errorLog(0)))))
		}
		return play(r, p)
	}
}
