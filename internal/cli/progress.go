package cli

import (
	"io"
	"strings"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/term"
)

// progress shows the progress of the work: repainted lines on a terminal, plain lines
// elsewhere. It is safe for concurrent use.
type progress struct {
	mu    sync.Mutex
	board board
	show  display
	stop  func()
}

// display is a way to show progress. Its methods are called under the lock of progress.
type display interface {
	// event shows the board after the event e.
	event(b *board, e apply.Event)
	// notice prints a text between the progress lines.
	notice(b *board, text term.Text)
}

// startProgress starts to show the progress of these workers.
func (a *app) startProgress(workers []string) *progress {
	to := a.Out
	p := &progress{board: board{order: workers}, stop: func() {}}
	switch {
	case !a.forPeople():
		p.show = noDisplay{io.Discard}
	case a.quiet, a.logs(): // the log says more
		p.show = noDisplay{a.Err}
	case to.Terminal && a.getenv("TERM") != "dumb":
		live := &liveLines{to: to, paint: a.paint(to), now: a.Now, lines: term.Live{To: to.guard}}
		p.show, p.stop = live, p.spin(live)
	default:
		p.show = &plainLines{w: to, notes: a.Err, last: map[string]time.Time{}}
	}
	a.setRunning(p)
	return p
}

// finish stops the progress and leaves the last lines on the screen.
func (a *app) finish(p *progress) {
	a.setRunning(nil)
	p.stop()
}

// event handles an event of the engine.
func (p *progress) event(e apply.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.board.update(e)
	p.show.event(&p.board, e)
}

// interrupted prints which steps are running when the operator interrupts.
func (p *progress) interrupted(say func(inFlight []string) term.Text) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.show.notice(&p.board, say(p.board.inFlight()))
}

// spin repaints regularly. The returned function stops it and repaints a last time.
func (p *progress) spin(live *liveLines) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	repaint := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		live.repaint(&p.board)
	}
	go func() {
		defer close(ended)
		ticker := time.NewTicker(spinEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				repaint()
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		repaint()
	}
}

// liveLines repaints one line for each worker on a terminal.
type liveLines struct {
	to    Stream
	paint term.Paint
	now   func() time.Time
	lines term.Live
}

func (l *liveLines) event(b *board, _ apply.Event) { l.repaint(b) }

func (l *liveLines) notice(b *board, text term.Text) {
	l.lines.Say(text)
	l.repaint(b)
}

// repaint draws all lines again, in one write so that they do not flicker.
func (l *liveLines) repaint(b *board) {
	width, height := 0, 0
	if l.to.Size != nil {
		width, height = l.to.Size()
	}
	l.lines.Draw(b.frame(l.now(), width, height, l.paint))
}

// plainLines writes one line for each event, for logs:
// `12:03:04 workers-3 clone done 4s`.
type plainLines struct {
	w, notes io.Writer
	last     map[string]time.Time // worker → when its last line was written
	lastWait time.Time            // when the last line was written that only says that a step goes on
}

// The shortest time between two lines that only say that a step is still running: for
// one worker, and for all.
const (
	workerPause = 10 * time.Second
	waitPause   = time.Second
)

func (l *plainLines) event(_ *board, e apply.Event) {
	switch {
	case e.Phase == apply.Began:
		return // the line before says that the last step is done, so the next one has begun
	case e.Phase == apply.Working:
		if e.Detail == "" || e.Time.Sub(l.last[e.Worker]) < workerPause || e.Time.Sub(l.lastWait) < waitPause {
			return
		}
		l.lastWait = e.Time
	}
	l.last[e.Worker] = e.Time
	term.Fprintln(l.w, plainLine(e))
}

func (l *plainLines) notice(_ *board, text term.Text) { term.Fprintln(l.notes, text) }

func plainLine(e apply.Event) term.Text {
	phase := string(e.Phase)
	if e.Phase == apply.Working {
		phase = "…"
	}
	words := []string{e.Time.Format(time.TimeOnly), e.Worker, string(e.Step), phase}
	if took := seconds(e.Took); took != "" {
		words = append(words, took)
	}
	line := strings.Join(words, " ")
	if e.Detail != "" && e.Phase != apply.Stopped { // why it stopped is already printed
		line += ": " + e.Detail
	}
	return term.Clean(line)
}

// noDisplay shows no progress, only notices.
type noDisplay struct{ notes io.Writer }

func (noDisplay) event(*board, apply.Event)         {}
func (s noDisplay) notice(_ *board, text term.Text) { term.Fprintln(s.notes, text) }
