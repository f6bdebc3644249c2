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
	bar    *progressbar.ProgressBar
	update func(*progressbar.ProgressBar)
	stop   chan struct{}
	done   sync.WaitGroup
}

// newProgress starts a bar of a size, or of one that nobody knows if it is
// negative, if standard error is a terminal. update moves it.
func (a *app) newProgress(size int64, update func(*progressbar.ProgressBar)) *progress {
	if !isTerminal(a.stderr) || a.json {
		return nil
	}
	p := &progress{update: update, stop: make(chan struct{})}
	p.bar = progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(a.stderr),
		progressbar.OptionSetWidth(24),
		progressbar.OptionThrottle(progressEvery/2),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionSetPredictTime(size > 0),
		progressbar.OptionSetRenderBlankState(true),
	)
	p.done.Go(p.show)
	return p
}

func (p *progress) show() {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.update(p.bar)
		}
	}
}

// moveBar moves the bar by the bytes that were read, since nobody knows how many
// lines there are, and tells the lines beside it.
func (b *batchRun) moveBar(bar *progressbar.ProgressBar) {
	select {
	case b.opened = <-b.reader:
	default:
	}
	if b.opened == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	lines, failed := b.sum.Lines, b.sum.Lines-b.sum.Accepted
	text := grouped(lines) + " lines"
	if failed > 0 {
		text += fmt.Sprintf(", %s not accepted", grouped(failed))
	}
	bar.Describe(text)
	bar.Set64(b.opened.Bytes.Load())
}

// clear makes room for a line of text. The caller holds the lock that update
// takes.
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
