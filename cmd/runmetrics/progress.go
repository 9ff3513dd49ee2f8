package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progressEvery is how often progress is told in a log. A terminal gets a bar that moves.
const progressEvery = 5 * time.Second

// progressOf is the work whose progress is shown.
type progressOf struct {
	doing string // such as "publishing"
	unit  string // such as "events"
	total int    // 0 where nobody knows it
	count func() int64
	// now, where it is not nil, knows the total better while the work goes on, and what else there is to say.
	now func() (total int64, note string)
}

// known is the total and the note as they are known now.
func (of *progressOf) known() (total int64, note string) {
	if of.now == nil {
		return int64(of.total), ""
	}
	return of.now()
}

// progress shows how far some work is: on a terminal as a bar, else as lines of the log.
type progress struct {
	stderr io.Writer
	of     progressOf
	stop   chan struct{}
	done   chan struct{}

	mu  sync.Mutex               // the terminal has one writer at a time
	bar *progressbar.ProgressBar // nil without a terminal
}

// startProgress begins to show it.
func startProgress(stderr io.Writer, log *slog.Logger, of progressOf) *progress {
	p := &progress{stderr: stderr, of: of, stop: make(chan struct{}), done: make(chan struct{})}
	if file, ok := stderr.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.bar = newBar(stderr, of)
		go p.every(100*time.Millisecond, p.draw)
		return p
	}
	last, began := int64(0), time.Now()
	go p.every(progressEvery, func() {
		n := of.count()
		total, note := of.known()
		of.log(log, n, total, (n-last)/int64(progressEvery/time.Second), time.Since(began), note)
		last = n
	})
	return p
}

// log writes a line. What is left takes as long as what is done took, in proportion.
func (of *progressOf) log(log *slog.Logger, n, total, rate int64, elapsed time.Duration, note string) {
	args := []any{"unit", of.unit, "done", n, "total", total, "per_second", rate, "elapsed", elapsed.Round(time.Second)}
	if n > 0 && total > n {
		args = append(args, "left", time.Duration(float64(elapsed)*float64(total-n)/float64(n)).Round(time.Second))
	}
	if note != "" {
		args = append(args, "note", note)
	}
	log.Info(of.doing, args...)
}

func newBar(w io.Writer, of progressOf) *progressbar.ProgressBar {
	total := of.total
	if total == 0 {
		total = -1 // a spinner
	}
	return progressbar.NewOptions(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(of.doing),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString(of.unit),
		progressbar.OptionSetSpinnerChangeInterval(0)) // or the bar would draw by itself, for ever
}

func (p *progress) every(interval time.Duration, show func()) {
	defer close(p.done)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-ticker.C:
			show()
		}
	}
}

func (p *progress) draw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if total, note := p.of.known(); p.of.now != nil {
		p.bar.ChangeMax64(max(total, -1))
		p.bar.Describe(p.of.doing + ": " + note)
	}
	_ = p.bar.Set64(p.of.count()) // a terminal that is gone is no fault of the work
}

// Printf writes to stderr without a torn bar.
func (p *progress) Printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	fmt.Fprintf(p.stderr, format, args...)
}

// Stop shows nothing more and takes the bar away.
func (p *progress) Stop() {
	close(p.stop)
	<-p.done
	p.Printf("")
}
