package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/engine"
)

// sink is a http.ResponseWriter that keeps nothing.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkMessage is what a POST /v1/messages costs between net/http and the
// engine: the door, the body, the device tokens, the answer. An operation is a
// request. The engine's checks of a device token are done as well, since they
// stand in for ours.
func BenchmarkMessage(b *testing.B) {
	r := newRig(b)
	r.submit = func(_ context.Context, _ *engine.Message, targets []engine.Target) (*engine.Receipt, error) {
		for i := range targets {
			if p := apns.CheckDeviceToken(targets[i].DeviceToken); p != nil {
				b.Fatal(p)
			}
		}
		return &engine.Receipt{Message: engine.MessageID{First: apns.ID{6: 0x70, 8: 0x80}, Count: len(targets)}, Lane: engine.Normal}, nil
	}
	for _, n := range []int{1, 1000} {
		var to any = deviceTokens(0, n)
		if n == 1 {
			to = device(0)
		}
		body := []byte(`{"to":` + toJSON(to) + `,"title":"Parcel on its way","body":"It arrives before noon.","thread_id":"parcels","expiration":"12h"}`)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			reader := bytes.NewReader(body)
			req := httptest.NewRequest("POST", "/v1/messages", io.NopCloser(reader))
			req.ContentLength = int64(len(body))
			req.Header.Set("Authorization", "Bearer "+r.key)
			req.Header.Set("Content-Type", "application/json")
			for b.Loop() {
				reader.Reset(body)
				req.Header.Del(requestIDField)
				w := &sink{header: http.Header{}}
				r.API.ServeHTTP(w, req)
				if w.status != 202 {
					b.Fatal(w.status)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/device")
		})
	}
}

// BenchmarkNothing is what a request costs that does nothing, over a connection:
// what net/http takes.
func BenchmarkNothing(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(202)
	}))
	defer server.Close()
	roundTrips(b, server.URL, "", `{"to":"`+device(0)+`","title":"Parcel on its way"}`, 1)
}

// BenchmarkServe goes over a connection and onto the disk. The CPU is that of the
// whole process: client, server and log.
func BenchmarkServe(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := newRig(b)
			r.pause()
			roundTrips(b, r.url+"/v1/messages", r.key, `{"to":`+toJSON(deviceTokens(0, n))+`,"title":"Parcel on its way"}`, n)
		})
	}
}

// roundTrips posts a body again and again, from several connections.
func roundTrips(b *testing.B, url, key, body string, devices int) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	used := cpu()
	b.SetParallelism(32 / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			req, _ := http.NewRequest("POST", url, strings.NewReader(body))
			req.Header.Set("Authorization", "Bearer "+key)
			req.Header.Set("Content-Type", "application/json")
			resp, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != 202 {
				b.Error(resp.Status)
				return
			}
		}
	})
	b.ReportMetric(float64((cpu()-used).Nanoseconds())/1e3/float64(b.N)/float64(devices), "µs-CPU/device")
}

// BenchmarkBatchLine is what a line of a batch costs until its chunk is on disk,
// in CPU of the whole process. An operation is a line.
func BenchmarkBatchLine(b *testing.B) {
	for name, batch := range map[string]struct{ defaults, line string }{
		"shared": {`{"title":"Parcel on its way","body":"It arrives before noon."}`, `{"to":%q}` + "\n"},
		"own":    {``, `{"to":%q,"title":"Parcel on its way","body":"It arrives before noon."}` + "\n"},
	} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b)
			r.pause()
			var block bytes.Buffer
			for i := range 1000 {
				fmt.Fprintf(&block, batch.line, device(i))
			}
			first := ""
			if batch.defaults != "" {
				first = `{"defaults":` + batch.defaults + "}\n"
			}
			body := io.MultiReader(strings.NewReader(first), io.LimitReader(&again{text: block.Bytes()}, int64(block.Len()/1000)*int64(b.N)))
			req := httptest.NewRequest("POST", "/v1/batches", body)
			req.Header.Set("Authorization", "Bearer "+r.key)
			req.Header.Set("Content-Type", ndjson)
			b.ReportAllocs()
			b.ResetTimer()
			used := cpu()
			rec := httptest.NewRecorder()
			r.API.ServeHTTP(rec, req)
			b.ReportMetric(float64((cpu()-used).Nanoseconds())/1e3/float64(b.N), "µs-CPU/line")
			if rec.Code != 202 || !strings.Contains(rec.Body.String(), fmt.Sprintf(`"accepted":%d,"refused":0`, b.N)) {
				b.Fatal(rec.Body)
			}
		})
	}
}

// again gives a text over and over.
type again struct {
	text []byte
	at   int
}

func (a *again) Read(b []byte) (int, error) {
	n := copy(b, a.text[a.at:])
	a.at = (a.at + n) % len(a.text)
	return n, nil
}
