package api

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/engine"
	"aviso.example/internal/await"
	"aviso.example/sim"
)

const ndjson = "application/x-ndjson"

func (r *rig) postBatch(query, body string, fields ...string) answer {
	r.t.Helper()
	return r.do("POST", "/v1/batches"+query, body, append([]string{"Content-Type", ndjson}, fields...)...)
}

func (r *rig) waitBatch(id string) Batch {
	r.t.Helper()
	return wait(r, "/v1/batches/"+id, func(b *Batch) bool { return b.Done })
}

// lines writes a batch for some devices.
func lines(defaults string, from, to int) string {
	var b strings.Builder
	if defaults != "" {
		fmt.Fprintf(&b, "{\"defaults\":%s}\n", defaults)
	}
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "{\"to\":%q}\n", device(i))
	}
	return b.String()
}

func zip(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

// A batch goes the whole way, wrong lines and all.
func TestBatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := strings.Join([]string{
		`{"defaults":{"app":"shop","title":"T","expiration":"1h"}}`, //  1
		`{"to":"` + device(1) + `"}`,
		``,
		`{"to":"` + device(2) + `","title":"Own","registered_at":1800000000}`,
		`{"to":"` + device(3) + `"}{"to":"` + device(4) + `"}`, //  5
		`{"to":"xyz"}`,
		`{"to":["` + device(3) + `"]}`,
		`{"title":"x"}`,
		`{"to":"` + device(3) + `","titel":"x"}`,
		`{"to":"` + device(3) + `","app":"shop"}`, // 10
		`{"to":"` + device(3) + `","id":"x","collapse_id":"` + strings.Repeat("x", 70) + `"}`,
		`not json`,
		strings.Repeat("x", 70_000),
		`{"defaults":{"title":"x"}}`,
		`{"to":"` + device(3) + `","payload":{"aps":{"alert":"x"}}}`, // 15
		`{"to":"` + device(3) + `","payload":{"aps":{"alert":"x"}},"title":"x"}`,
		`{"to":"` + device(3) + `","push_type":"voip","data":{"k":1}}`, // a default title does not fit
		`{"to":"` + device(5) + `"`,
	}, "\n")
	a := r.postBatch("?label=spring", body)
	var receipt BatchReceipt
	r.want(a, 202, &receipt)
	wrong := map[int64]string{
		5: "a second object begins", 6: `"to" has a wrong character`, 7: `"to" has to be one device token`, 8: `"to" is missing`, 9: `did you mean "title"?`,
		10: `"app" is the same for all of a batch`, 11: `"id" cannot be chosen`, 12: "not valid JSON", 13: "longer than 65536 bytes", 14: `"defaults" can only stand`,
		16: `"payload" is the whole payload`, 17: `cannot have "title"`, 18: "was probably cut off",
	}
	if receipt.Accepted != 3 || receipt.Refused != int64(len(wrong)) || receipt.App != "shop" || receipt.Environment != "sandbox" || receipt.Lane != "bulk" || receipt.ErrorsOmitted != 0 {
		t.Errorf("%+v", receipt)
	}
	for _, e := range receipt.Errors {
		if want := wrong[e.Line]; want == "" || !strings.Contains(e.Problem, want) {
			t.Errorf("line %d: %q, want %q", e.Line, e.Problem, want)
		}
		delete(wrong, e.Line)
	}
	if len(wrong) > 0 {
		t.Errorf("nothing about lines %v", wrong)
	}
	if a.Header.Get("Location") != "/v1/batches/"+receipt.ID {
		t.Errorf("Location: %q", a.Header.Get("Location"))
	}
	b := r.waitBatch(receipt.ID)
	if b.Outcomes.Accepted != 3 || b.Accepted != 3 || b.Refused != receipt.Refused || b.Label != "spring" || b.ClosedAt == nil || b.Broken != "" {
		t.Errorf("%+v", b)
	}
	push := r.apple.WaitForPush(t, sim.Filter{DeviceToken: device(2)})
	if string(push.Payload) != `{"aps":{"alert":{"title":"Own"}}}` || push.Expiration == nil {
		t.Errorf("%+v", push)
	}
	push = r.apple.WaitForPush(t, sim.Filter{DeviceToken: device(1)})
	if string(push.Payload) != `{"aps":{"alert":{"title":"T"}}}` || push.Expiration == nil {
		t.Errorf("%+v", push)
	}
	var list Deliveries
	r.get("/v1/deliveries?batch="+receipt.ID+"&device_token="+device(2), &list)
	if len(list.Deliveries) != 1 || list.Deliveries[0].Batch != receipt.ID || list.Deliveries[0].Message != "" {
		t.Errorf("%+v", list)
	}
}

// Many lines take many chunks, and only the first wrong ones are listed.
func TestLongBatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pause()
	body := lines(`{"title":"x"}`, 0, 5000) + strings.Repeat("{}\n", 1234)
	var receipt BatchReceipt
	r.want(r.postBatch("", zip(body), "Content-Encoding", "gzip"), 202, &receipt)
	if receipt.Accepted != 5000 || receipt.Refused != 1234 || len(receipt.Errors) != 1000 || receipt.ErrorsOmitted != 234 || receipt.Errors[0].Line != 5002 {
		t.Errorf("%d accepted, %d refused, %d listed, %d omitted, the first %+v", receipt.Accepted, receipt.Refused, len(receipt.Errors), receipt.ErrorsOmitted, receipt.Errors[0])
	}
}

func TestBatchProblems(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	line := `{"to":"` + device(1) + `","title":"x"}` + "\n"
	for body, want := range map[string][]string{
		"\n \n\n": {"the body has no lines"},
		`{"defaults":{"titel":"x","lane":"x"}}` + "\n" + line:     {`did you mean "title"?`, `"lane" has to be`},
		`{"defaults":{"to":"aa"}}` + "\n" + line:                  {`"to" cannot have a default`},
		`{"defaults":{"registered_at":1700000000}}` + "\n" + line: {`"registered_at" belongs to one device`},
		`{"defaults":{"title":"x"},"to":"aa"}` + "\n" + line:      {`"to" stands beside "defaults"`},
		`{"defaults":[]}` + "\n" + line:                           {`"defaults" has to be an object`},
		`{"defaults":{"app":"bank"}}` + "\n" + line:               {`"app" is not an app of this server`},
		`{"defaults":{"environment":"production"}}` + "\n" + line: {`"environment" is production, for which the app has no credential`},
	} {
		r.wantProblem(r.postBatch("", body), &invalidRequest, want...)
	}
	r.wantProblem(r.postBatch("?app=shop&lane=urgent&environment=sandbox", `{"defaults":{"app":"bank","lane":"bulk","environment":"production"}}`), &invalidRequest,
		`"app" is one thing in the query and another`, `"lane" is one thing`, `"environment" is one thing`)
	r.wantProblem(r.postBatch("?app=bank", line), &invalidRequest, `"app" is not an app of this server`)
	r.wantProblem(r.postBatch("?rate=-1&paused=maybe&lane=slow&environment=test&lable=x&app=a&app=b&label="+strings.Repeat("x", 201), line), &invalidRequest,
		`"rate" has to be a number`, `"paused" has to be true or false`, `"lane" has to be`, `"environment" has to be`, `did you mean "label"?`, `"app" is there twice`, `"label" has 201 bytes`)
	// Whoever puts a query right learns of all that is wrong with it at once, the app's
	// name included.
	for query, want := range map[string][]string{
		"app=bank&rate=-1":       {`"app" is not an app of this server`, `"rate" has to be a number`},
		"app=shopp&paused=maybe": {`did you mean "shop"?`, `"paused" has to be true or false`},
		"lane=slow&app=bank&label=" + strings.Repeat("x", 201): {`"app" is not an app`, `"lane" has to be`, `"label" has 201 bytes`},
		"app=bank&lable=x": {`"app" is not an app of this server`, `did you mean "label"?`},
		"app=shop&rate=x":  {`"rate" has to be a number`},
		"rate=x":           {`"rate" has to be a number`},
	} {
		p := r.wantProblem(r.postBatch("?"+query, line), &invalidRequest, want...)
		if len(p.Errors) != len(want) {
			t.Errorf("%s: %v", query, p.Errors)
		}
	}
	r.wantProblem(r.postBatch("", line, "Content-Type", "application/json"), &unsupportedMedia, "application/x-ndjson")
	r.wantProblem(r.postBatch("", line, "Content-Encoding", "br"), &unsupportedMedia, "gzip")
	r.wantProblem(r.postBatch("", line, "Content-Encoding", "gzip"), &malformedBody, "is no gzip")
	var list Batches
	r.get("/v1/batches", &list)
	if len(list.Batches) != 0 {
		t.Errorf("%+v", list)
	}
}

// What the query says holds, with or without defaults.
func TestBatchQuery(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var receipt BatchReceipt
	r.want(r.postBatch("?app=shop&lane=normal&environment=sandbox&rate=1000&paused=true&label=x", `{"to":"`+device(0)+`","title":"x"}`), 202, &receipt)
	var b Batch
	r.get("/v1/batches/"+receipt.ID, &b)
	if receipt.Accepted != 1 || receipt.Lane != "normal" || !b.Paused || b.Rate != 1000 || b.Label != "x" || b.Waiting != 1 {
		t.Errorf("%+v %+v", receipt, b)
	}
}

// A damaged body ends the batch, and what was read before is sent.
func TestDamagedBatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	whole := zip(lines(`{"title":"x"}`, 0, 3000))
	for name, body := range map[string]string{"cut": whole[:len(whole)-2000], "checksum": whole[:len(whole)-8] + "12345678"} {
		a := r.postBatch("", body, "Content-Encoding", "gzip")
		p := r.wantProblem(a, &cutShort, "gzip data")
		if p.Batch == nil || a.Header.Get("Location") != "/v1/batches/"+p.Batch.ID {
			t.Fatalf("%s: %s", name, a.text)
		}
		b := r.waitBatch(p.Batch.ID)
		if b.Broken == "" || b.Accepted != p.Batch.Accepted || b.Accepted < 2000 || b.Outcomes.Accepted != b.Accepted {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

// A sender that goes away leaves a batch with what it had sent.
func TestBatchSenderGone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pause()
	address, _ := url.Parse(r.url)
	conn, err := net.Dial("tcp", address.Host)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /v1/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n", r.key, ndjson)
	text := lines(`{"title":"x"}`, 0, 2000) + `{"to":"` + device(1)
	fmt.Fprintf(conn, "%x\r\n%s\r\n", len(text), text)
	// The batch can be seen while it is open.
	open := wait(r, "/v1/batches", func(l *Batches) bool { return len(l.Batches) == 1 }).Batches[0]
	if open.ClosedAt != nil || open.Done {
		t.Errorf("%+v", open)
	}
	conn.Close()
	b := wait(r, "/v1/batches/"+open.ID, func(b *Batch) bool { return b.ClosedAt != nil })
	if b.Accepted != 2000 || b.Refused != 0 || !strings.Contains(b.Broken, "the connection was lost") {
		t.Errorf("%+v", b)
	}
}

func TestBatchControl(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pause()
	var receipt BatchReceipt
	r.want(r.postBatch("", lines(`{"title":"x"}`, 0, 10)), 202, &receipt)
	path := "/v1/batches/" + receipt.ID
	var b Batch
	if r.want(r.do("POST", path+":pause", ""), 200, &b); !b.Paused {
		t.Errorf("%+v", b)
	}
	if r.want(r.do("POST", path+":resume", ""), 200, &b); b.Paused {
		t.Errorf("%+v", b)
	}
	if r.want(r.do("PATCH", path, `{"rate":5.5}`), 200, &b); b.Rate != 5.5 {
		t.Errorf("%+v", b)
	}
	if r.want(r.do("PATCH", path, `{"rate":0}`), 200, &b); b.Rate != 0 {
		t.Errorf("%+v", b)
	}
	if r.want(r.do("POST", path+":cancel", ""), 200, &b); !b.Cancelled {
		t.Errorf("%+v", b)
	}
	r.wantProblem(r.do("PATCH", path, `{"rate":-1}`), &invalidRequest, `"rate" expected number >= 0`)
	r.wantProblem(r.do("PATCH", path, `{}`), &invalidRequest, `"rate" is missing`)
	r.wantProblem(r.do("PATCH", path, `{"rate":1,"secret5ec2e7":1}`), &invalidRequest, `unexpected property`)
	r.want(r.do("POST", "/v1/apps/shop:resume", ""), 200, nil)
	if b := r.waitBatch(receipt.ID); b.Outcomes.Cancelled != 10 {
		t.Errorf("%+v", b)
	}
	none := engine.BatchID{}
	for _, p := range []struct{ method, path string }{{"GET", ""}, {"POST", ":pause"}, {"POST", ":resume"}, {"POST", ":cancel"}} {
		r.wantProblem(r.do(p.method, "/v1/batches/"+path[len("/v1/batches/"):len(path)-10]+"0000000000"+p.path, ""), &notFound, "there is no such batch")
		r.wantProblem(r.do(p.method, "/v1/batches/"+none.String()+p.path, ""), &invalidRequest, `"id" is not the id of a batch`)
	}
}

func TestListBatches(t *testing.T) {
	t.Parallel()
	r := newRig(t, "shop", "bank")
	var ids []string
	for i := range 5 {
		var receipt BatchReceipt
		r.want(r.postBatch("?app="+[]string{"shop", "bank"}[i%2], lines(`{"title":"x"}`, 0, 1)), 202, &receipt)
		ids = append([]string{receipt.ID}, ids...)
		time.Sleep(2 * time.Millisecond) // ids of one millisecond have no order
	}
	var got []string
	for cursor := ""; ; {
		var list Batches
		r.get("/v1/batches?limit=2"+next("cursor", cursor), &list)
		for _, b := range list.Batches {
			got = append(got, b.ID)
		}
		if cursor = list.Next; cursor == "" {
			break
		}
	}
	if strings.Join(got, " ") != strings.Join(ids, " ") {
		t.Errorf("%v, want %v", got, ids)
	}
	var list Batches
	if r.get("/v1/batches?app=bank", &list); len(list.Batches) != 2 || list.Batches[0].App != "bank" {
		t.Errorf("%+v", list)
	}
	r.wantProblem(r.do("GET", "/v1/batches?cursor="+deadCursor.text(1, 2), ""), &invalidRequest, "cursor")
}

// What was read of a batch is sent while its sender pauses, packed or not.
func TestSlowBatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, packed := range []bool{false, true} {
		body, sender := io.Pipe()
		req := r.request("POST", "/v1/batches", "", "Content-Type", ndjson)
		req.Body = body
		write := func(text string) { io.WriteString(sender, text) }
		finish := sender.Close
		if packed {
			req.Header.Set("Content-Encoding", "gzip")
			w := gzip.NewWriter(sender)
			write = func(text string) { io.WriteString(w, text); w.Flush() }
			finish = func() error { w.Close(); return sender.Close() }
		}
		answered := make(chan answer)
		go func() { answered <- r.send(req) }()
		before := r.apple.Stats().Accepted
		sent := 0
		for _, n := range []int{3, 1, 2000} {
			defaults := ""
			if sent == 0 {
				defaults = `{"title":"x"}`
			}
			write(lines(defaults, sent, sent+n))
			sent += n
			// The body has not ended, and nothing more comes until all of this is there.
			await.Until(t, fmt.Sprintf("%d at APNs", sent), func() bool { return int(r.apple.Stats().Accepted-before) >= sent })
		}
		finish()
		var receipt BatchReceipt
		if r.want(<-answered, 202, &receipt); receipt.Accepted != int64(sent) {
			t.Errorf("%+v", receipt)
		}
	}
}

// slowBatch has something in memory from a time on.
type slowBatch struct {
	since time.Time
	times []time.Duration // when it was written, from the beginning
	began time.Time
}

func (b *slowBatch) Unflushed() time.Time { return b.since }

func (b *slowBatch) Flush() { b.since, b.times = time.Time{}, append(b.times, time.Since(b.began)) }

// A line is in memory only for batchLinger, whether the next ones come slowly or
// not at all, and lines that come fast are not written one by one.
func TestSlowReader(t *testing.T) {
	for name, test := range map[string]struct {
		step    time.Duration // between two lines
		lines   int
		flushes []time.Duration
	}{
		"a pause":    {time.Hour, 2, []time.Duration{batchLinger, time.Hour + batchLinger}},
		"one by one": {40 * time.Millisecond, 8, []time.Duration{100 * time.Millisecond, 220 * time.Millisecond}},
		"fast":       {time.Millisecond, 150, []time.Duration{batchLinger}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from, sender := io.Pipe()
				b := &slowBatch{began: time.Now()}
				s := &slowReader{from: from, batch: b}
				go func() {
					for range test.lines {
						sender.Write([]byte("x"))
						time.Sleep(test.step)
					}
					sender.Close()
				}()
				for {
					n, err := s.Read(make([]byte, 1))
					if err != nil {
						break
					}
					if n > 0 && b.since.IsZero() {
						b.since = time.Now()
					}
				}
				for i, at := range test.flushes {
					if i >= len(b.times) || (b.times[i]-at).Abs() > time.Millisecond {
						t.Fatalf("written at %v, not at %v", b.times, test.flushes)
					}
				}
				if len(b.times) != len(test.flushes) {
					t.Errorf("written at %v, not at %v", b.times, test.flushes)
				}
			})
		})
	}
}

// What the world calls lines of JSON is taken.
func TestTypesOfLines(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, media := range []string{"application/ndjson", "application/jsonl; charset=utf-8", "Application/X-NDJSON"} {
		r.want(r.postBatch("?app=shop", `{"to":"`+r.apple.DeviceToken+`","title":"x"}`, "Content-Type", media), 202, nil)
	}
}
