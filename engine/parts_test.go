package engine

import (
	"fmt"
	"math"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
)

// What is too little to be divided belongs to the first who can send it; all else is
// divided by as many as all have agreed on, or by more.
func TestPart(t *testing.T) {
	const little = leastPart / 2
	can, cannot := map[string]bool{}, map[string]bool{"shop": true}
	for _, test := range []struct {
		about           string
		divisor, counts int // agreed; and how many there are
		unable          map[string]bool
		others          map[string]map[string]bool
		rate, want      float64
	}{
		{"alone", 1, 1, can, nil, 100, 100},
		{"alone, little", 1, 1, can, nil, little, little},
		{"alone, and unable", 1, 1, cannot, nil, little, little},
		{"nothing is agreed on yet", 0, 1, can, nil, 100, 0},
		{"nothing is agreed on yet, little", 0, 1, can, nil, little, 0},

		{"two", 2, 2, can, map[string]map[string]bool{"a": can}, 100, 50},
		{"as little as can be divided", 2, 2, can, map[string]map[string]bool{"a": can}, 2 * leastPart, leastPart},
		{"first of two, little", 2, 2, can, map[string]map[string]bool{"z": can}, 2*leastPart - 1, 2*leastPart - 1},
		{"second of two, little", 2, 2, can, map[string]map[string]bool{"a": can}, 2*leastPart - 1, 0},

		{"the first is unable", 2, 2, can, map[string]map[string]bool{"a": cannot}, little, little},
		{"the first and the second are", 3, 3, can, map[string]map[string]bool{"a": cannot, "b": cannot}, little, little},
		{"another is able and first", 3, 3, can, map[string]map[string]bool{"a": cannot, "b": can}, little, 0},
		{"unable, and first", 2, 2, cannot, map[string]map[string]bool{"z": can}, little, 0},
		{"all are unable, and it is first", 2, 2, cannot, map[string]map[string]bool{"z": cannot}, little, little},
		{"all are unable, and it is second", 2, 2, cannot, map[string]map[string]bool{"a": cannot}, little, 0},
		{"unable to send another app only", 2, 2, can, map[string]map[string]bool{"a": {"other": true}}, little, 0},
		{"what is divided is divided among the unable too", 2, 2, can, map[string]map[string]bool{"a": cannot}, 100, 50},

		{"one has come", 1, 2, can, map[string]map[string]bool{"a": can}, 100, 50},
		{"one has come, and there is too little now", 1, 2, can, map[string]map[string]bool{"a": can}, 2*leastPart - 1, 0},
		{"one has gone, and not all know", 3, 2, can, map[string]map[string]bool{"a": can}, 90, 30},
		{"one has gone, and there is enough now, but not all know", 3, 2, can, map[string]map[string]bool{"a": can}, 2 * leastPart, 0},
	} {
		p := &peers{name: "m", others: map[string]peer{}, own: peer{divisor: test.counts}, unable: test.unable, divisor: test.divisor}
		for name, unable := range test.others {
			p.others[name] = peer{divisor: test.divisor, unable: unable}
		}
		if got := p.part("shop", test.rate); got != test.want {
			t.Errorf("%s: %v of %v, not %v", test.about, got, test.rate, test.want)
		}
	}
}

// All parts together are the rate, whoever is unable; and while they agree on nothing
// else than that they are so many, they are not more.
func TestPartsTogether(t *testing.T) {
	for count := 1; count <= 4; count++ {
		for able := range 1 << count {
			for agreed := range 6 {
				for _, rate := range []float64{0.5, leastPart, 2.5 * leastPart, 100 * leastPart} {
					sum, owners := 0.0, 0
					for i := range count {
						p := &peers{name: fmt.Sprint(i), others: map[string]peer{}, own: peer{divisor: count}, divisor: agreed}
						for k := range count {
							unable := map[string]bool{"shop": able>>k&1 == 0}
							if k == i {
								p.unable = unable
							} else {
								p.others[fmt.Sprint(k)] = peer{divisor: agreed, unable: unable}
							}
						}
						part := p.part("shop", rate)
						sum += part
						if part == rate {
							owners++
						}
					}
					if sum > rate+1e-9 || owners > 1 || agreed == count && math.Abs(sum-rate) > 1e-9 {
						t.Errorf("%d engines (able %04b) that agreed on %d have %v of %v", count, able, agreed, sum, rate)
					}
				}
			}
		}
	}
}

// A part becomes smaller as soon as somebody comes, and larger when all others know that
// somebody has gone, or when nobody is left who could say so.
func TestDivide(t *testing.T) { virtually(t, testDivide) }

func testDivide(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t))
	kv, err := r.store.bucket(t.Context(), "PARTS", time.Hour)
	r.must(err)
	p := &peers{engine: r.Engine, kv: kv, name: "m", others: map[string]peer{}, own: peer{divisor: 1}}
	r.must(p.present(t.Context()))
	says := func(name string, divisor int) { p.others[name] = peer{divisor: divisor, at: time.Now()} }
	part := func(want float64, when string) {
		t.Helper()
		p.heardAt = time.Now()
		p.divide(t.Context())
		if got := p.part("shop", 600); got != want {
			t.Errorf("%s: %v, not %v", when, got, want)
		}
		if said, err := kv.Get(t.Context(), p.name); p.known && (err != nil || parsePeer(string(said.Value())).divisor != len(p.others)+1) {
			t.Errorf("%s: it said %v, %v", when, said, err)
		}
	}
	part(0, "who was there is not known")
	p.known = true
	part(600, "it is alone")
	says("a", 1)
	part(300, "one has come and does not know of it")
	says("a", 2)
	part(300, "and now it does")
	says("b", 1)
	part(200, "a third has come")
	says("a", 3)
	says("b", 3)
	part(200, "all know")
	delete(p.others, "b")
	part(200, "it has gone, and one does not know")
	says("a", 2)
	part(300, "all know that")
	says("b", 3)
	part(200, "it has come again")
	says("a", 3)
	part(200, "all know that too")
	time.Sleep(absentAfter - time.Second)
	says("a", 3)
	part(200, "one has said nothing for a while")
	time.Sleep(2 * time.Second)
	part(200, "and for so long that it does not count, but one still counts it")
	says("a", 2)
	part(300, "nobody counts it")
	time.Sleep(absentAfter + time.Second)
	part(600, "nobody has said anything for long")
	p.heardAt = time.Now().Add(-absentAfter - time.Second)
	p.divide(t.Context())
	if got := p.part("shop", 600); got != 0 {
		t.Errorf("the others count on it no more: %v", got)
	}
	part(600, "it was heard again")
}

// A rate is kept by all together while engines come, go, fall silent and come back; and
// it is reached, except by what a silent one had of it, until it does not count.
func TestRateOfComingAndGoing(t *testing.T) {
	for _, rate := range []float64{4, 60} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			virtually(t, func(t *testing.T) { testRateOfComingAndGoing(t, rate) })
		})
	}
}

func testRateOfComingAndGoing(t *testing.T, rate float64) {
	apple := apnstest.StartMem(t, recording)
	log := startBubbleLog(t, 5*time.Second)
	join := func(name byte) *member {
		return log.join(t, apple, named(t, name), func(cfg *Config) { cfg.Apps[0].Rate = rate })
	}
	began := time.Now()
	a := join(1)
	for range 90 { // seconds
		a.submit(hello(), devices(0, int(rate))...)
	}
	time.Sleep(10 * time.Second)
	b := join(2)
	time.Sleep(10 * time.Second)
	c := join(3)
	time.Sleep(10 * time.Second)
	a.close()
	time.Sleep(10 * time.Second)
	b.way.silence(true)
	time.Sleep(absentAfter + 5*time.Second)
	b.way.silence(false)
	time.Sleep(10 * time.Second)
	c.close()
	time.Sleep(10 * time.Second)
	list := b.accepted(began)
	// Each change lets somebody send one at once.
	if n, most := mostInASecond(list), int(1.1*rate)+1; n > most {
		t.Errorf("%d in one second, and the rate is %v", n, rate)
	}
	if least := int(rate * (time.Since(began) - absentAfter - presentEvery).Seconds()); len(list) < least {
		t.Errorf("%d in %v, and the rate is %v", len(list), time.Since(began), rate)
	}
}

// A small rate belongs to an engine that has the credential, whichever is first, and goes
// back when the first has it, too.
func TestSmallRateOfWhoCanSend(t *testing.T) { virtually(t, testSmallRateOfWhoCanSend) }

func testSmallRateOfWhoCanSend(t *testing.T) {
	const rate = 4
	log := startBubbleLog(t, 5*time.Second)
	apples := []*apnstest.Server{apnstest.StartMem(t), apnstest.StartMem(t)}
	with := func(m *Config) { m.Apps[0].Rate = rate }
	first := log.join(t, apples[0], named(t, 1), with, func(cfg *Config) {
		a := &cfg.Apps[0]
		a.Production, a.Sandbox, a.Default = a.Sandbox, nil, apns.Production
	})
	second := log.join(t, apples[1], named(t, 2), with)
	parts := func(want1, want2 float64, when string) {
		t.Helper()
		time.Sleep(10 * time.Second)
		if a, b := first.part("shop", rate), second.part("shop", rate); a != want1 || b != want2 {
			t.Errorf("%s: parts of %v and %v", when, a, b)
		}
	}
	parts(rate, 0, "nothing is there that one could not send")
	receipt := second.submit(hello(), devices(0, 20)...)
	parts(0, rate, "the first cannot send what is there")
	if n := apples[1].Stats().Accepted; n < 20 || !second.wait(receipt.Message).Done {
		t.Errorf("%d were accepted", n)
	}
	app := testApp(t, apples[0], "shop")
	app.Rate = rate
	first.must(first.SetApps([]App{app}))
	parts(rate, 0, "the first can")
	second.submit(hello(), devices(0, 20)...)
	time.Sleep(10 * time.Second)
	if n := apples[0].Stats().Accepted; n != 20 {
		t.Errorf("%d were accepted from the first", n)
	}
}
