package engine

import (
	"errors"
	"testing"

	"aviso.example/apns"
	"aviso.example/apnstest"
)

// A closed engine says so, whatever it is asked.
func TestClosed(t *testing.T) {
	r := newRig(t, apnstest.Start(t))
	e := r.Engine
	r.close()
	for name, ask := range map[string]func() error{
		"Stats":       func() error { _, err := e.Stats(t.Context()); return err },
		"Submit":      func() error { _, err := e.Submit(t.Context(), hello(), devices(0, 1)); return err },
		"NewBatch":    func() error { _, err := e.NewBatch(t.Context(), BatchConfig{App: "shop"}); return err },
		"Delivery":    func() error { _, err := e.Delivery(t.Context(), apns.NewID()); return err },
		"Message":     func() error { _, err := e.Message(t.Context(), MessageID{apns.NewID(), 1}); return err },
		"Verdicts":    func() error { _, err := e.Verdicts(t.Context(), Filter{}, Cursor{}, 10); return err },
		"DeadTokens":  func() error { _, _, err := e.DeadTokens(t.Context(), "", 0, 10); return err },
		"DeadLetters": func() error { _, err := e.DeadLetters(t.Context(), "", "", 0, 10); return err },
		"PauseApp":    func() error { return e.PauseApp(t.Context(), "shop", "") },
		"PauseBatch":  func() error { return e.PauseBatch(t.Context(), BatchID(newUnit(e.began))) },
	} {
		if err := ask(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
