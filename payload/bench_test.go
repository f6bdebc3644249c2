package payload_test

import (
	"strings"
	"testing"

	"aviso.example/payload"
)

var benchAlert = payload.Alert{Title: "Game Request", Body: "Bob wants to play", Badge: payload.SetBadge(9), Sound: payload.DefaultSound(), ThreadID: "game-42"}

func BenchmarkAlertJSON(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := benchAlert.JSON(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAlertAppendJSON(b *testing.B) {
	b.ReportAllocs()
	buf := make([]byte, 0, 4096)
	for b.Loop() {
		if _, err := benchAlert.AppendJSON(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAlertCustomJSON(b *testing.B) {
	b.ReportAllocs()
	alert := benchAlert
	alert.Custom = struct {
		GameID string `json:"gameID"`
		Turn   int    `json:"turn"`
	}{"12345678", 3}
	for b.Loop() {
		if _, err := alert.JSON(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLiveActivityUpdateJSON(b *testing.B) {
	b.ReportAllocs()
	update := payload.LiveActivityUpdate{Timestamp: at(1732200060), ContentState: health{40}, StaleDate: at(1732203660)}
	for b.Loop() {
		if _, err := update.JSON(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLint(b *testing.B) {
	for name, body := range map[string]string{"170B": "", "4KB": strings.Repeat("x", 3500)} {
		alert := benchAlert
		alert.Body += body
		encoded, err := alert.JSON()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(encoded)))
			for b.Loop() {
				payload.Lint(payload.PushTypeAlert, encoded)
			}
		})
	}
}

func BenchmarkShorten(b *testing.B) {
	long := []byte(`{"aps":{"alert":{"title":"T","body":"` + strings.Repeat(`Grüße an \"alle\" 👩‍🚀 `, 200) + `"}}}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(long)))
	for b.Loop() {
		if _, err := payload.Shorten(long, 4096); err != nil {
			b.Fatal(err)
		}
	}
}
