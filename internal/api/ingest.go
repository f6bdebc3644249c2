package api

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"aviso.example/engine"
	"aviso.example/internal/message"
)

// BatchReceipt is what became of the lines of a batch.
type BatchReceipt struct {
	ID          string `json:"id" doc:"The batch."`
	App         string `json:"app"`
	Environment string `json:"environment" enum:"production,sandbox"`
	Lane        string `json:"lane" enum:"urgent,normal,bulk"`
	Accepted    int64  `json:"accepted" doc:"Lines that are on disk and will be sent."`
	Refused     int64  `json:"refused" doc:"Lines that were wrong."`
	// Errors are the first of them.
	Errors        []LineProblem `json:"errors,omitempty" doc:"The first 1,000 wrong lines."`
	ErrorsOmitted int64         `json:"errors_omitted,omitempty" doc:"How many wrong lines there were beyond those."`
	// Warnings are what the linter has to say about its first lines.
	Warnings []Warning `json:"warnings,omitempty" doc:"What APNs will take and a device may drop, or what looks like a mistake, in the first 1,000 lines: each kind once. The lines are accepted all the same."`
}

// LineProblem is about one line of a batch.
type LineProblem struct {
	Line    int64  `json:"line" doc:"Counted from 1, blank lines included."`
	Problem string `json:"problem"`
}

// ingest is one POST /v1/batches: lines from the body into an engine.Batch, in
// memory that does not grow with them.
type ingest struct {
	api   *API
	lines *message.Lines
	slow  *slowReader
	batch *engine.Batch
	info  engine.AppInfo
	cfg   engine.BatchConfig

	// words reads lines; defaults has what they share.
	words    *words
	defaults *words
	// shared is the message of the lines that say nothing of their own, made
	// again when the second changes that an expiration may count from.
	shared   engine.Message
	sharedAt int64
	sharedOK bool

	receipt BatchReceipt
	// linted counts the lines that were looked at for warnings.
	linted       int
	lintedShared bool
}

// postBatch accepts a batch while it is being read.
func (a *API) postBatch(w http.ResponseWriter, r *http.Request) {
	g := &ingest{api: a, words: newWords(inLine, message.Line), defaults: newWords(inDefaults, message.Line)}
	p := g.run(w, r)
	// The server's limits are for requests that end soon.
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime))
	if g.batch != nil {
		w.Header().Set("Location", "/v1/batches/"+g.receipt.ID)
	}
	if p != nil {
		a.note(p, r.Header.Get(requestIDField))
		p.write(w, r)
		return
	}
	writeJSON(w, http.StatusAccepted, &g.receipt)
}

func (g *ingest) run(w http.ResponseWriter, r *http.Request) *Problem {
	if p := wantType(r, "application/x-ndjson", "application/jsonl", "application/ndjson", "application/jsonlines"); p != nil {
		return p
	}
	asked := &batchQuery{}
	if problems := asked.read(r.URL.Query()); len(problems) > 0 {
		return invalid(problems...)
	}
	g.slow = &slowReader{from: &patientReader{from: r.Body, control: http.NewResponseController(w)}}
	body, p := unpacked(g.slow, r)
	if p != nil {
		return p
	}
	g.lines = message.NewLines(body)
	first, err := g.lines.Next()
	switch {
	case errors.Is(err, io.EOF):
		return invalid(FieldProblem{Problem: "the body has no lines; write one notification on each"})
	case err != nil && !errors.Is(err, message.ErrLineTooLong):
		return newProblem(&malformedBody, whyBroken(err))
	}
	object, defaultsErr := message.DefaultsOf(first)
	if defaultsErr != nil {
		return badDefaults(fieldProblems(defaultsErr)...)
	}
	if object != nil {
		if p := g.readDefaults(object); p != nil {
			return p
		}
	}
	if p := g.open(r.Context(), asked); p != nil {
		return p
	}
	return g.take(r, first, err, object == nil)
}

// badDefaults is the problem of a batch whose first line is wrong.
func badDefaults(errs ...FieldProblem) *Problem {
	p := invalid(errs...)
	p.Detail = "the defaults on the first line are wrong; nothing was accepted"
	return p
}

// readDefaults takes the first line's.
func (g *ingest) readDefaults(object []byte) *Problem {
	if !g.defaults.read(object, time.Now()) {
		return badDefaults(g.defaults.problems...)
	}
	g.words.parser.Defaults = g.defaults.message
	g.words.defaults = g.defaults.own
	return nil
}

// open begins the batch, with what the query and the defaults say about it.
func (g *ingest) open(ctx context.Context, asked *batchQuery) *Problem {
	said := &g.defaults.own
	var problems []FieldProblem
	differ := func(field string) {
		problems = append(problems, FieldProblem{field, "is one thing in the query and another in the defaults"})
	}
	app := asked.app
	if said.given&keyApp != 0 {
		if app != "" && app != said.app {
			differ("app")
		}
		app = said.app
	}
	if said.given&keyEnvironment != 0 {
		if asked.environment != nil && *asked.environment != said.environment {
			differ("environment")
		}
		asked.environment = &said.environment
	}
	if said.given&keyLane != 0 {
		if asked.lane != nil && *asked.lane != said.lane {
			differ("lane")
		}
		asked.lane = &said.lane
	}
	var why string
	if g.info, why = g.api.findApp(app); why != "" {
		problems = append(problems, FieldProblem{"app", why})
	}
	if len(problems) > 0 {
		return invalid(problems...)
	}
	environment, lane := g.info.Default, engine.Bulk
	if asked.environment != nil {
		environment = *asked.environment
	}
	if asked.lane != nil {
		lane = *asked.lane
	}
	g.cfg = engine.BatchConfig{
		App: g.info.ID, Message: engine.Message{Environment: &environment, Lane: &lane}, Label: asked.label, Rate: asked.rate, Paused: asked.paused,
	}
	// Whoever goes away has handed in what was read until then.
	batch, err := g.api.engine.NewBatch(context.WithoutCancel(ctx), g.cfg)
	if err != nil {
		return g.api.problemOf(ctx, err, "batch", false)
	}
	g.batch, g.slow.batch = batch, batch
	g.receipt = BatchReceipt{ID: batch.ID().String(), App: g.info.ID, Environment: environment.String(), Lane: lane.String()}
	return nil
}

// take reads the lines to their end, of which the first is there already, and
// closes the batch.
func (g *ingest) take(r *http.Request, text []byte, err error, isLine bool) *Problem {
	var failed error
	if isLine {
		failed = g.add(text, err)
	}
	for failed == nil {
		text, err = g.lines.Next()
		if err != nil && !errors.Is(err, message.ErrLineTooLong) {
			break
		}
		failed = g.add(text, err)
	}
	broken := ""
	switch {
	case failed != nil:
		broken = "the log did not take everything"
	case !errors.Is(err, io.EOF):
		broken = whyBroken(err)
	}
	record, closeErr := g.batch.Close(context.WithoutCancel(r.Context()), broken)
	g.receipt.Accepted, g.receipt.Refused = record.Accepted, record.Refused
	g.receipt.ErrorsOmitted = record.Refused - int64(len(g.receipt.Errors))
	a := g.api
	a.metrics.accepted(g.info.ID, g.receipt.Environment, *g.cfg.Message.Lane, int(record.Accepted), int(record.Refused))
	a.log.LogAttrs(r.Context(), slog.LevelInfo, "a batch was read", slog.String("batch", g.receipt.ID), slog.String("app", g.info.ID),
		slog.Int64("accepted", record.Accepted), slog.Int64("refused", record.Refused), slog.String("broken", broken), slog.String("request_id", r.Header.Get(requestIDField)))
	var p *Problem
	switch {
	case failed != nil || closeErr != nil:
		p = newProblem(&batchInterrupted, "the log did not take everything; batch says how many lines are certain")
		p.cause, p.what = errors.Join(failed, closeErr), "batch "+g.receipt.ID
	case broken != "":
		p = newProblem(&cutShort, broken)
	default:
		return nil
	}
	p.Batch = &g.receipt
	return p
}

// add takes one line. An error is the log's and ends the batch; a wrong line is
// noted and ends nothing.
func (g *ingest) add(text []byte, lineErr error) error {
	if lineErr != nil {
		g.refuse(FieldProblem{Problem: lineErr.Error()})
		g.batch.Refuse()
		return nil
	}
	now := time.Now()
	m, target, ok := g.read(text, now)
	if !ok {
		g.refuse(g.problems(now)...)
		g.batch.Refuse()
		return nil
	}
	_, err := g.batch.Add(m, &target)
	if err == nil {
		g.lint(m, now)
		return nil
	}
	found := inputProblems(err)
	if found == nil {
		return err
	}
	// The engine has counted it, and says one thing only.
	if all := g.problems(now); len(all) > 0 {
		found = all
	}
	g.refuse(found...)
	return nil
}

// lint warns of a line that was taken, once of each kind. Lines that say nothing of their
// own are alike.
func (g *ingest) lint(m *engine.Message, now time.Time) {
	if g.linted == lintedLines || m == &g.shared && g.lintedShared {
		return
	}
	g.linted++
	g.lintedShared = g.lintedShared || m == &g.shared
	for _, w := range warningsOf(&m.Notification, g.info.BundleID, *m.Environment, now) {
		if !slices.ContainsFunc(g.receipt.Warnings, func(known Warning) bool { return known.Code == w.Code }) {
			w.Line = g.lines.Number
			g.receipt.Warnings = append(g.receipt.Warnings, w)
		}
	}
}

// problems is all that is wrong with the line that was read last.
func (g *ingest) problems(now time.Time) []FieldProblem {
	if !g.words.malformed && len(g.receipt.Errors) < maxLineErrors {
		g.words.complete(g.api, &g.info, now)
	}
	return g.words.problems
}

// refuse lists a line that is wrong, unless there are enough.
func (g *ingest) refuse(problems ...FieldProblem) {
	if len(g.receipt.Errors) == maxLineErrors {
		return
	}
	list := make([]string, len(problems))
	for i, p := range problems {
		list[i] = p.String()
	}
	g.receipt.Errors = append(g.receipt.Errors, LineProblem{g.lines.Number, strings.Join(list, "; ")})
}

// read makes a message of a line. What it returns is valid until the next.
func (g *ingest) read(text []byte, now time.Time) (*engine.Message, engine.Target, bool) {
	w := g.words
	fine := w.read(text, now)
	if w.message.To == "" && w.message.Wrong&message.FieldTo == 0 && !w.malformed {
		w.problem(FieldProblem{"to", "is missing: the device token"})
	}
	if !fine {
		return nil, engine.Target{}, false
	}
	target := engine.Target{DeviceToken: w.message.To, RegisteredAt: w.own.registeredAt}
	if w.plain {
		if second := now.Unix(); second != g.sharedAt {
			g.sharedAt = second
			g.shared, g.sharedOK = g.message(g.defaults, now)
		}
		if g.sharedOK {
			return &g.shared, target, len(w.problems) == 0
		}
	}
	m, _ := g.message(w, now)
	return &m, target, len(w.problems) == 0
}

// message makes a message of words.
func (g *ingest) message(w *words, now time.Time) (engine.Message, bool) {
	ok := w.notify(now)
	return engine.Message{
		App: g.cfg.App, Environment: g.cfg.Message.Environment, Notification: w.notification, DropUnknown: w.own.dropUnknown, SendAt: w.own.sendAt,
	}, ok
}

// unpacked returns the lines' bytes.
func unpacked(body io.Reader, r *http.Request) (io.Reader, *Problem) {
	switch encoding := strings.ToLower(r.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return body, nil
	case "gzip":
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return nil, newProblem(&malformedBody, whyBroken(err))
		}
		return unpacked, nil
	}
	return nil, newProblem(&unsupportedMedia, "Content-Encoding can be gzip, or be left out")
}

// slowReader has what was read of a batch written when the sender takes its time.
// It is read by the goroutine that adds to the batch, so while a Read waits, the
// batch is a timer's.
type slowReader struct {
	from  io.Reader
	batch flusher // nil before it has begun
	timer *time.Timer
	fired chan struct{}
}

// flusher is what a slowReader needs of an engine.Batch.
type flusher interface {
	Unflushed() time.Time
	Flush()
}

// Read reads on. What has been in memory for batchLinger is written, whether the
// rest comes slowly or not at all.
func (s *slowReader) Read(b []byte) (int, error) {
	var since time.Time
	if s.batch != nil {
		since = s.batch.Unflushed()
	}
	if since.IsZero() {
		return s.from.Read(b)
	}
	left := batchLinger - time.Since(since)
	if left <= 0 {
		s.batch.Flush()
		return s.from.Read(b)
	}
	if s.timer == nil {
		s.fired = make(chan struct{})
		s.timer = time.AfterFunc(left, func() {
			s.batch.Flush()
			s.fired <- struct{}{}
		})
	} else {
		s.timer.Reset(left)
	}
	n, err := s.from.Read(b)
	if !s.timer.Stop() {
		<-s.fired
	}
	return n, err
}

// patientReader gives a body as long as it needs, provided that something comes
// now and then, whatever the server's limit for whole requests.
type patientReader struct {
	from    io.Reader
	control *http.ResponseController
	until   time.Time
}

// Read reads on.
func (p *patientReader) Read(b []byte) (int, error) {
	if now := time.Now(); p.until.Sub(now) < batchSilence-time.Second {
		p.until = now.Add(batchSilence)
		p.control.SetReadDeadline(p.until) // which only servers can that need it
	}
	return p.from.Read(b)
}

// whyBroken says why a body ended before its end.
func whyBroken(err error) string {
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	switch {
	case corrupt, errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		return "the gzip data is damaged, or is no gzip"
	case ok && timeout.Timeout():
		return "nothing came for " + batchSilence.String()
	}
	return "the body ended too early: the connection was lost, or the gzip data was cut off"
}
