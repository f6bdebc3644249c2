package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/pflag"

	"aviso.example/internal/api"
	"aviso.example/internal/message"
	"aviso.example/internal/namedfile"
)

// pushBatchFlags are the flags for many notifications.
type pushBatchFlags struct {
	batch, label string
	rate         float64
}

func (f *pushBatchFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.batch, "batch", "", "hand over every line of this NDJSON `FILE`; - is standard input")
	flags.Float64Var(&f.rate, "rate", 0, "have the server send at most `N` lines of --batch a second (default no limit)")
	flags.StringVar(&f.label, "label", "", "`TEXT` to know the batch by")
}

func (f *pushBatchFlags) check(flags *pflag.FlagSet) error {
	if f.batch == "" {
		for _, name := range []string{"rate", "label"} {
			if flags.Changed(name) {
				return usage("--%s belongs to --batch, which is missing", name)
			}
		}
		return nil
	}
	if flags.Changed("to") {
		return usage("--to cannot go with --batch, where each line has its own")
	}
	if f.batch == "-" && flags.Lookup("payload").Value.String() == "-" {
		return usage("--batch and --payload cannot both be standard input")
	}
	if flags.Changed("rate") && !(f.rate > 0) {
		return usage("--rate is %v; it has to be above 0", f.rate)
	}
	return nil
}

// query is what a server is told about a batch beside its lines.
func (f *pushBatchFlags) query() string {
	q := url.Values{}
	if f.rate > 0 {
		q.Set("rate", fmt.Sprint(f.rate))
	}
	if f.label != "" {
		q.Set("label", f.label)
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// pushBatch hands over a file.
func (a *app) pushBatch(ctx context.Context, f *pushFlags, c *apiClient, flags map[string]any, wait time.Duration) error {
	in, size := a.stdin, int64(-1)
	if f.batch != "-" {
		file, err := namedfile.Open(f.batch)
		if err != nil {
			return usage("--batch: %w", err)
		}
		defer file.Close()
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
		in = file
	}
	body, added, err := batchBody(ctx, in, flags)
	if err != nil {
		return err
	}
	bar := a.newProgress(size, func(bar *progressbar.ProgressBar) {
		bar.Describe("handed over")
		bar.Set64(body.read.Load())
	})
	// After an interruption the body ends at a line, and the server says what it has.
	request, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { time.AfterFunc(batchGrace, func() { cancel(context.Canceled) }) })()
	var receipt api.BatchReceipt
	err = c.send(request, http.MethodPost, "/v1/batches"+f.query(), "application/x-ndjson", body, &receipt)
	bar.finish()
	if refused, ok := errors.AsType[*refusedError](err); ok && refused.Batch != nil {
		receipt = *refused.Batch
	} else if err != nil {
		return exitOf(err)
	}
	if broken := body.broken.Load(); broken != nil {
		err = &exitError{ExitFailure, fmt.Errorf("--batch: %w", *broken)}
	} else if ctx.Err() != nil {
		a.warnf("interrupted; the rest of the input was not handed over")
	}
	if added {
		for i := range receipt.Errors { // the line of defaults stands in no file
			receipt.Errors[i].Line--
		}
	}
	if reportErr := a.printBatchReceipt(receipt, wait > 0); reportErr != nil {
		return reportErr
	}
	if err != nil {
		if _, ok := errors.AsType[*exitError](err); ok {
			return err
		}
		return exitOf(err)
	}
	code := ExitOK
	if receipt.Refused > 0 {
		code = ExitRejected
	}
	if ctx.Err() != nil {
		code = ExitUnreachable
	}
	if wait == 0 || ctx.Err() != nil {
		return exit(code)
	}
	return a.followBatch(ctx, c, receipt.ID, wait)
}

// printBatchReceipt says what was handed over; the rest follows if followed.
func (a *app) printBatchReceipt(r api.BatchReceipt, followed bool) error {
	if a.json {
		return a.printJSON(r)
	}
	for i, problem := range r.Errors {
		if i == shownBadLines {
			a.warnf("further bad lines are only counted here; --json lists up to 1,000")
			break
		}
		a.warnf("line %d: %s", problem.Line, problem.Problem)
	}
	a.printWarnings(r.Warnings)
	a.printf("%s  %s lines on disk; aviso status %s tells what becomes of them\n", a.paint(a.stdout, bold, r.ID), grouped(r.Accepted), r.ID)
	if r.Refused > 0 && !followed {
		a.printf("  %s %s\n", a.paint(a.stdout, red, "bad lines"), grouped(r.Refused))
	}
	return nil
}

// followBatch waits until all of a batch has a verdict.
func (a *app) followBatch(ctx context.Context, c *apiClient, id string, wait time.Duration) error {
	var batch api.Batch
	var total, ended atomic.Int64
	bar := a.newProgress(0, func(bar *progressbar.ProgressBar) {
		bar.ChangeMax64(max(1, total.Load()))
		bar.Describe("sent")
		bar.Set64(ended.Load())
	})
	err := poll(ctx, wait, func() (bool, error) {
		err := c.ask(ctx, http.MethodGet, "/v1/batches/"+id, nil, &batch)
		total.Store(batch.Accepted)
		ended.Store(batch.Accepted - batch.Waiting)
		return batch.Done, err
	})
	bar.finish()
	if err != nil {
		return exitOf(err)
	}
	if err := a.printBatch(&batch); err != nil {
		return err
	}
	o := batch.Outcomes
	switch {
	case !batch.Done, o.Unknown+o.Expired+o.Cancelled > 0:
		return exit(ExitUnreachable)
	case o.Rejected+batch.Refused > 0:
		return exit(ExitRejected)
	}
	return nil
}

// batchReader is the body of a batch: whole lines, so that it can end after any of
// them.
type batchReader struct {
	ctx    context.Context
	chunks chan []byte
	rest   []byte
	read   atomic.Int64 // bytes of the input, for the progress bar
	broken atomic.Pointer[error]
}

// batchChunk is about how many bytes travel together.
const batchChunk = 64 << 10

// batchBody makes the body of a batch: the input, with what the flags say as
// defaults. added says that a line stands before those of the input.
func batchBody(ctx context.Context, in io.Reader, flags map[string]any) (b *batchReader, added bool, err error) {
	b = &batchReader{ctx: ctx, chunks: make(chan []byte, 4)}
	r := bufio.NewReaderSize(in, 4*batchChunk)
	if mark, _ := r.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) { // Windows marks UTF-8 so
		r.Discard(3)
	}
	var first []byte
	if len(flags) > 0 {
		if first, added, err = withDefaults(r, flags); err != nil {
			return nil, false, err
		}
	}
	// The reader is not waited for: it may hang in a read of standard input, which
	// nothing but the other end of the pipe can wake.
	go b.fill(r, first)
	return b, added, nil
}

// withDefaults returns the beginning of the body: blank lines as they are, and a
// line of defaults that has what the flags say and the input does not.
func withDefaults(r *bufio.Reader, flags map[string]any) (first []byte, added bool, err error) {
	line := []byte(nil)
	for len(bytes.TrimSpace(line)) == 0 {
		first = append(first, line...)
		line, err = r.ReadBytes('\n')
		if err != nil {
			break
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, &exitError{ExitFailure, fmt.Errorf("--batch: %w", err)}
	}
	object, err := message.DefaultsOf(bytes.TrimSpace(line))
	own := map[string]json.RawMessage{}
	if err != nil || object != nil && json.Unmarshal(object, &own) != nil {
		return append(first, line...), false, nil // the server says best what is wrong
	}
	payload, sugar := false, false
	for key := range own {
		payload = payload || key == "payload"
		sugar = sugar || message.FieldOf(key).MakesPayload()
	}
	_, topic := own["topic"]
	_, bundle := own["bundle_id"]
	all := map[string]any{}
	for key, value := range flags {
		field := message.FieldOf(key)
		if payload && field.MakesPayload() || sugar && key == "payload" || (topic || bundle) && key == "topic" {
			continue
		}
		all[key] = value
	}
	for key, value := range own {
		all[key] = value
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text) // which ends it with a line break
	e.SetEscapeHTML(false)
	if err := e.Encode(map[string]any{"defaults": all}); err != nil {
		return nil, false, err
	}
	if object != nil {
		return append(first, text.Bytes()...), false, nil
	}
	return append(append(text.Bytes(), first...), line...), true, nil
}

// fill reads the input in pieces of whole lines.
func (b *batchReader) fill(r *bufio.Reader, chunk []byte) {
	defer close(b.chunks)
	hand := func() bool {
		select {
		case b.chunks <- chunk:
			chunk = make([]byte, 0, batchChunk+batchChunk/2)
			return true
		case <-b.ctx.Done():
			return false
		}
	}
	for {
		line, err := r.ReadSlice('\n')
		chunk = append(chunk, line...)
		b.read.Add(int64(len(line)))
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue // the server says that it is too long
		case err != nil:
			hand()
			if !errors.Is(err, io.EOF) {
				b.broken.Store(&err)
			}
			return
		}
		if len(chunk) >= batchChunk || r.Buffered() == 0 {
			if !hand() {
				return
			}
		}
	}
}

// Read ends after a line once the command is interrupted.
func (b *batchReader) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		select {
		case chunk, ok := <-b.chunks:
			if !ok {
				return 0, io.EOF
			}
			b.rest = chunk
		case <-b.ctx.Done():
			return 0, io.EOF
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}
