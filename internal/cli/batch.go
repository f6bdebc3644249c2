package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/time/rate"

	"aviso.example/apns"
	"aviso.example/internal/message"
	"aviso.example/internal/namedfile"
)

const (
	// chunkLines is how many lines travel together from the reader, so that
	// handing over costs nothing.
	chunkLines = 128
	// resumeWindow is the BatchWindow with --resume: what is on its way when the
	// process is killed may be sent twice, so it should not be more than it
	// takes to keep two connections busy.
	resumeWindow = 2048
	// batchGrace bounds the wait for outcomes after an interruption.
	batchGrace = 15 * time.Second
	// hopeless is how many of the first outcomes have to say that the
	// configuration is wrong, and none that it is right, for the batch to stop:
	// Apple counts such requests against the sender.
	hopeless = 1000
	// shownBadLines is how many bad lines are shown; all are in --failures.
	shownBadLines = 20
)

// batchFlags are the flags for many notifications.
type batchFlags struct {
	batch, failures, resume string
	rate                    float64
}

func (f *batchFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.batch, "batch", "", "send every line of this NDJSON `FILE`; - is standard input")
	flags.StringVar(&f.failures, "failures", "", "write every line of --batch that was not accepted to `FILE`")
	flags.StringVar(&f.resume, "resume", "", "keep the progress of --batch in `FILE`, and go on from there")
	flags.Float64Var(&f.rate, "rate", 0, "send at most `N` lines of --batch a second (default no limit)")
}

func (f *batchFlags) check(flags *pflag.FlagSet) error {
	if f.batch == "" {
		for _, name := range []string{"failures", "resume", "rate"} {
			if flags.Changed(name) {
				return usage("--%s belongs to --batch, which is missing", name)
			}
		}
		return nil
	}
	for _, name := range []string{"to", "id"} {
		if flags.Changed(name) {
			return usage("--%s cannot go with --batch, where each line has its own", name)
		}
	}
	if f.batch == "-" && flags.Lookup("payload").Value.String() == "-" {
		return usage("--batch and --payload cannot both be standard input")
	}
	if flags.Changed("rate") && !(f.rate > 0) {
		return usage("--rate is %v; it has to be above 0", f.rate)
	}
	return nil
}

// batchRun is one run of send --batch. One goroutine reads and parses lines, one
// (of PushAll) hands them to the client, one takes the outcomes.
type batchRun struct {
	app    *app
	flags  *batchFlags
	client *apns.Client
	parser *lineParser
	free   sync.Pool // of *line

	input  io.Reader
	size   int64               // of the input in bytes, or -1
	lines  chan []*line        // closed by the reader, after fatal was set
	reader chan *message.Lines // has one when the input has been opened
	opened *message.Lines      // the same, for the progress bar
	state  *resumeState        // nil without --resume; set before the first lines
	fatal  error               // why the input cannot be read on
	stop   context.Context     // done when no more lines are to be sent
	halt   func(cause error)   // ends stop

	mu       sync.Mutex // guards what follows
	failures *failureWriter
	sum      summary
	broken   error // a file that cannot be written
	progress *progress
}

// stopped says why a batch ended early, in words for the summary.
type stopped string

func (s stopped) Error() string { return string(s) }

func (a *app) sendBatch(cmd *cobra.Command, f *sendFlags, cfg apns.Config, m *message.Message) (err error) {
	b := &batchRun{
		app: a, flags: &f.batchFlags, parser: newLineParser(m), input: a.stdin, size: -1,
		lines: make(chan []*line, 4), reader: make(chan *message.Lines, 1),
		sum: newSummary(),
	}
	b.free.New = func() any { return new(line) }
	if f.batch != "-" {
		file, err := namedfile.Open(f.batch)
		if err != nil {
			return usage("--batch: %w", err)
		}
		defer file.Close()
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			b.size = info.Size()
		}
		b.input = file
	}
	for _, out := range []string{f.failures, f.resume} {
		if out != "" && sameFile(b.input, out) {
			return usage("%s is the file that --batch reads; name another one", out)
		}
	}
	if f.resume != "" {
		cfg.BatchWindow = resumeWindow
	}
	if b.client, err = newClient(cfg); err != nil {
		return err
	}
	defer closeClient(b.client)
	if f.failures != "" {
		if b.failures, err = openFailures(f.failures, f.resume != ""); err != nil {
			return err
		}
	}
	err = b.run(cmd.Context())
	b.mu.Lock() // the reader may still be there; see run
	state := b.state
	b.mu.Unlock()
	if closing := errors.Join(b.failures.close(), state.close()); closing != nil && b.broken == nil {
		b.broken = closing
	}
	if b.broken != nil {
		b.sum.Stopped = b.broken.Error()
	}
	if err != nil {
		if b.sum.Lines == 0 {
			return err // nothing happened that would have to be reported
		}
		b.sum.Stopped = err.Error()
	}
	if err := errors.Join(err, b.report()); err != nil {
		return err
	}
	if b.broken != nil {
		return &exitError{ExitFailure, b.broken}
	}
	return exit(b.sum.exitCode())
}

// run sends everything. Its error is one of the input; what went wrong with
// notifications is in the summary.
func (b *batchRun) run(ctx context.Context) error {
	stop, halt := context.WithCancelCause(ctx)
	defer halt(nil)
	b.stop, b.halt = stop, halt
	// Once no more is sent, what is on its way gets some time to arrive.
	push, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	finished := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-finished:
			return
		case <-stop.Done():
		}
		timer := time.NewTimer(batchGrace)
		defer timer.Stop()
		select {
		case <-finished:
		case <-timer.C:
			cut(stopped("the run was interrupted"))
		}
	})
	// The reader is not waited for: it may hang in a read of standard input, which
	// nothing but the other end of the pipe can wake.
	go b.read()

	b.progress = b.app.newProgress(b.size, b.moveBar)
	for result := range b.client.PushAll(push, b.notifications) {
		b.settle(&result)
	}
	close(finished)
	waiting.Wait()
	b.progress.finish()
	b.sum.end()
	if stop.Err() == nil {
		return b.fatal // the reader closed b.lines, so it is settled
	}
	cause := context.Cause(stop)
	var why stopped
	if !errors.As(cause, &why) {
		why = "interrupted"
	}
	b.sum.Stopped = string(why)
	return nil
}

// notifications is the input of PushAll.
func (b *batchRun) notifications(yield func(*apns.Notification) bool) {
	var limiter *rate.Limiter
	if b.flags.rate > 0 {
		// A twentieth of a second's worth may go out at once, so that a high rate
		// does not need a timer for each line.
		limiter = rate.NewLimiter(rate.Limit(b.flags.rate), max(1, int(b.flags.rate/20)))
	}
	for {
		var chunk []*line
		var ok bool
		select {
		case <-b.stop.Done():
			return
		case chunk, ok = <-b.lines:
			if !ok {
				return
			}
		}
		for _, l := range chunk {
			if l.err != nil {
				b.badLine(l)
				continue
			}
			if limiter != nil {
				if limiter.Wait(b.stop) != nil {
					return
				}
			} else if b.stop.Err() != nil {
				return
			}
			if !yield(&l.notification) {
				return
			}
		}
	}
}

// read reads and parses the input until it ends or is no longer wanted.
func (b *batchRun) read() {
	defer close(b.lines)
	err := b.readLines()
	if !errors.Is(err, io.EOF) {
		b.fatal = err
	}
}

func (b *batchRun) readLines() error {
	in := b.input
	var state *resumeState
	if b.flags.resume != "" {
		var err error
		if state, in, err = openResume(b.flags.resume, b.client.Endpoint(), in); err != nil {
			return err
		}
		b.mu.Lock()
		b.state = state
		b.mu.Unlock()
	}
	reader := message.NewLines(in)
	b.reader <- reader
	first := true
	chunk := make([]*line, 0, chunkLines)
	hand := func() error {
		select {
		case b.lines <- chunk:
			chunk = make([]*line, 0, chunkLines)
			return nil
		case <-b.stop.Done():
			return io.EOF
		}
	}
	for {
		text, err := reader.Next()
		if err != nil && !errors.Is(err, message.ErrLineTooLong) {
			if handErr := hand(); handErr != nil {
				return handErr
			}
			if !errors.Is(err, io.EOF) {
				return &exitError{ExitFailure, fmt.Errorf("--batch: after line %d: %w", reader.Number, err)}
			}
			return err
		}
		if first && err == nil {
			is, err := b.parser.readDefaults(text)
			if err != nil {
				return usage("--batch: line %d: %w", reader.Number, err)
			}
			if is {
				b.mu.Lock()
				err = b.failures.begin(text)
				b.mu.Unlock()
				if err != nil {
					return &exitError{ExitFailure, err}
				}
				first = false
				continue
			}
		}
		first = false
		if state.has(reader.Number) {
			b.sum.Skipped.Add(1)
			continue
		}
		l := b.free.Get().(*line)
		l.number, l.text = reader.Number, append(l.text[:0], text...)
		l.original, l.message.To = l.text, ""
		if l.err = err; err == nil {
			l.err = b.parser.parse(l)
		}
		if chunk = append(chunk, l); len(chunk) == chunkLines || reader.Idle() {
			if err := hand(); err != nil {
				return err
			}
		}
	}
}
