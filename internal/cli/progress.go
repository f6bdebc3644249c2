package cli

import (
	"fmt"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progressEvery is how often the bar moves; the eye sees no more.
const progressEvery = 200 * time.Millisecond

// progress shows a bar on a terminal. A nil progress shows nothing.
type progress struct {
	run  *batchRun
	bar  *progressbar.ProgressBar
	stop chan struct{}
	done sync.WaitGroup

	reader *lineReader
}

// newProgress starts the bar if standard error is a terminal.
func (a *app) newProgress(b *batchRun) *progress {
	if !isTerminal(a.stderr) || a.json {
		return nil
	}
	p := &progress{run: b, stop: make(chan struct{})}
	p.bar = progressbar.NewOptions64(b.size,
		progressbar.OptionSetWriter(a.stderr),
		progressbar.OptionSetWidth(24),
		progressbar.OptionThrottle(progressEvery/2),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionSetPredictTime(b.size > 0),
		progressbar.OptionSetRenderBlankState(true),
	)
	p.done.Go(p.show)
	return p
}

// show moves the bar by the bytes that were read, since nobody knows how many
// lines there are, and tells the lines beside it.
func (p *progress) show() {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case p.reader = <-p.run.reader:
			continue
		case <-tick.C:
		}
		if p.reader == nil {
			continue
		}
		p.run.mu.Lock()
		lines, failed := p.run.sum.Lines, p.run.sum.Lines-p.run.sum.Accepted
		text := grouped(lines) + " lines"
		if failed > 0 {
			text += fmt.Sprintf(", %s not accepted", grouped(failed))
		}
		p.bar.Describe(text)
		p.bar.Set64(p.reader.read.Load())
		p.run.mu.Unlock()
	}
}

// clear makes room for a line of text. The caller holds the run's lock.
func (p *progress) clear() {
	if p != nil {
		p.bar.Clear()
	}
}

func (p *progress) finish() {
	if p != nil {
		close(p.stop)
		p.done.Wait()
		p.bar.Finish()
	}
}
