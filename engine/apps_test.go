package engine

import (
	"testing"

	"aviso.example/apns"
	"aviso.example/apnstest"
)

func TestApps(t *testing.T) { virtually(t, testApps) }

func testApps(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	want := AppInfo{ID: "shop", BundleID: apple.Topic, Default: apns.Sandbox, Sandbox: true}
	for _, id := range []string{"shop", ""} {
		if got, ok := r.App(id); !ok || got != want {
			t.Errorf("%q: %+v, %v", id, got, ok)
		}
	}
	if got, ok := r.App("bank"); ok {
		t.Errorf("%+v", got)
	}
	if err := r.SetApps([]App{testApp(t, apple, "shop"), testApp(t, apple, "bank")}); err != nil {
		t.Fatal(err)
	}
	if got, ok := r.App(""); ok {
		t.Errorf("one of two: %+v", got)
	}
	if all := r.Apps(); len(all) != 2 || all[0].ID != "bank" || all[1] != want {
		t.Errorf("%+v", all)
	}
}

// Stats say how many ended in which state for which reason.
func TestOutcomes(t *testing.T) { virtually(t, testOutcomes) }

func testOutcomes(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	unknown := "00" + device(1)[2:]
	r.wait(r.submit(hello(), Target{DeviceToken: apple.DeviceToken}, Target{DeviceToken: unknown}).Message)
	s, err := r.Stats(t.Context())
	if err != nil || len(s.Apps) != 1 || len(s.Apps[0].Paths) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	p := s.Apps[0].Paths[0]
	if p.Outcomes[Outcome{State: Accepted}] == 0 {
		t.Errorf("%+v", p.Outcomes)
	}
	sums := map[State]int64{}
	reasons := map[apns.Reason]int64{}
	for o, n := range p.Outcomes {
		sums[o.State] += n
		if o.Reason != "" {
			reasons[o.Reason] += n
		}
	}
	for state, n := range p.Verdicts {
		if sums[state] != n {
			t.Errorf("%s: %d in Outcomes, %d in Verdicts", state, sums[state], n)
		}
	}
	for reason, n := range p.Reasons {
		if reasons[reason] != n {
			t.Errorf("%s: %d in Outcomes, %d in Reasons", reason, reasons[reason], n)
		}
	}
}
