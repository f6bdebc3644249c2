package engine

import (
	"math/rand/v2"
	"time"

	"aviso.example/sim"
)

// yearTroubles are the ways in which APNs can be unwell.
var yearTroubles = []struct {
	what  string
	most  time.Duration
	fault sim.Fault
	// one: only one app has it.
	one bool
	// now: open connections have it at once.
	now bool
	// mild trouble is no reason why anything else waits.
	mild bool
}{
	{"APNs refuses connections", 36 * time.Hour, sim.Fault{Kind: sim.FaultRefuseConnection}, false, true, false},
	{"APNs is silent when one connects", 12 * time.Hour, sim.Fault{Kind: sim.FaultStallHandshake}, false, true, false},
	{"APNs answers 503", 36 * time.Hour, sim.Fault{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable"}, false, false, false},
	{"APNs answers 503", 36 * time.Hour, sim.Fault{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable"}, true, false, false},
	{"APNs answers 500 now and then", 12 * time.Hour, sim.Fault{Kind: sim.FaultAnswer, Reason: "InternalServerError", Probability: 0.5}, true, false, false},
	{"APNs answers 429 now and then", 6 * time.Hour, sim.Fault{Kind: sim.FaultAnswer, Reason: "TooManyRequests", Probability: 0.5}, true, false, true},
	{"APNs shuts down", 6 * time.Hour, sim.Fault{Kind: sim.FaultAnswer, Reason: "Shutdown", Probability: 0.3}, false, false, false},
	{"APNs does not answer", 12 * time.Hour, sim.Fault{Kind: sim.FaultSilence, Probability: 0.7}, true, false, false},
	{"APNs takes and does not answer", 3 * time.Hour, sim.Fault{Kind: sim.FaultSilence, Processed: true, Probability: 0.3}, true, false, false},
	{"APNs says GOAWAY", 24 * time.Hour, sim.Fault{Kind: sim.FaultGoAway, Every: 40}, false, false, false},
	{"APNs says GOAWAY below what is under way", 24 * time.Hour, sim.Fault{Kind: sim.FaultGoAway, Every: 40, LastStream: new(uint32)}, false, false, false},
	{"APNs resets streams", 6 * time.Hour, sim.Fault{Kind: sim.FaultResetStream, Probability: 0.3}, true, false, false},
	{"APNs takes and resets streams", 6 * time.Hour, sim.Fault{Kind: sim.FaultResetStream, Processed: true, Probability: 0.3}, true, false, false},
	{"APNs breaks connections", 6 * time.Hour, sim.Fault{Kind: sim.FaultResetConnection, Every: 50, Processed: true}, false, false, false},
	{"APNs closes connections", 6 * time.Hour, sim.Fault{Kind: sim.FaultClose, Every: 50}, false, false, false},
	{"APNs falls silent", 2 * time.Hour, sim.Fault{Kind: sim.FaultHalfOpen, Every: 100, Processed: true}, false, false, false},
	{"APNs is slow", 6 * time.Hour, sim.Fault{Kind: sim.FaultDelay, Delay: 500 * time.Millisecond, Jitter: 2 * time.Second}, false, false, true},
}

// yearLoose is how long trouble may be felt after its end, since nobody says that
// it has ended: an app that paused by itself is tried again when it has waited
// for as long again, five minutes at most, and connections are made again after a
// minute at most.
func yearLoose(sp *span, now time.Time) time.Duration {
	return min(maxHold, now.Sub(sp.from)+10*time.Second) + time.Minute + 5*time.Second
}

func (y *year) trouble(rng *rand.Rand) {
	kind := &yearTroubles[rng.IntN(len(yearTroubles))]
	a := pick(rng, y.apps...)
	env := pick(rng, a.envs...)
	apple, list, fault := y.apples[env], &y.troubles[env], kind.fault
	what := kind.what + ", " + env.String()
	if kind.one {
		list, fault.Topic = a.troubles[env], a.topic
		what += ", " + a.id
	}
	if kind.mild {
		list = &y.mild
	}
	id := apple.AddFault(y.t, fault)
	sp := list.begin(y.now(), what)
	if kind.now {
		apple.AddFault(y.t, sim.Fault{Kind: sim.FaultResetConnection, Now: true})
	}
	y.plan(&yearEvent{at: y.now().Add(y.spell(rng, 2*time.Second, kind.most)), name: "APNs is well again", free: true, do: func(*rand.Rand) {
		apple.RemoveFault(id)
		if sp.until.IsZero() {
			list.end(sp, y.now(), yearLoose(sp, y.now()))
		}
	}})
}

// heal puts everything right: what has not ended yet has no excuse from now on.
func (y *year) heal() {
	if y.engine == nil {
		y.open()
	}
	for env, apple := range y.apples {
		apple.ClearFaults()
		all := []*spans{&y.troubles[env], &y.mild}
		for _, a := range y.apps {
			all = append(all, a.troubles[env])
		}
		for _, s := range all {
			for sp := s.open(); sp != nil; sp = s.open() {
				s.end(sp, y.now(), yearLoose(sp, y.now()))
			}
		}
	}
}
