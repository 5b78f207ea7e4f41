package cli

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/term"
)

// board is the progress of the work: a row for each worker that began, in the order
// of the plan.
type board struct {
	rows  []*boardRow
	order []string // the workers of the plan

	places   map[string]int       // index in order; nil before the first event
	byWorker map[string]*boardRow // rows by worker
}

type boardRow struct {
	worker string
	place  int // index in the plan; -1 when it is not in the plan
	steps  []boardStep
}

type boardStep struct {
	kind   plan.StepKind
	phase  apply.Phase
	began  time.Time
	took   time.Duration
	detail string
}

// ended reports whether the step has ended.
func (s boardStep) ended() bool { return s.phase != apply.Began && s.phase != apply.Working }

// update adds an event.
func (b *board) update(e apply.Event) {
	row := b.row(e.Worker)
	if e.Phase == apply.Began { // the worker may have gone back to an earlier step
		row.steps = slices.DeleteFunc(row.steps, func(s boardStep) bool { return !s.ended() })
	}
	at := slices.IndexFunc(row.steps, func(s boardStep) bool { return s.kind == e.Step && !s.ended() })
	if at < 0 {
		row.steps = append(row.steps, boardStep{kind: e.Step, began: e.Time})
		at = len(row.steps) - 1
	}
	step := &row.steps[at]
	step.phase, step.took, step.detail = e.Phase, e.Took, e.Detail
}

func (b *board) row(worker string) *boardRow {
	if b.byWorker == nil {
		b.byWorker, b.places = map[string]*boardRow{}, make(map[string]int, len(b.order))
		for i, name := range b.order {
			b.places[name] = i
		}
	}
	if b.byWorker[worker] == nil {
		row := &boardRow{worker: worker, place: -1}
		if place, known := b.places[worker]; known {
			row.place = place
		}
		after := sort.Search(len(b.rows), func(i int) bool { return b.rows[i].place > row.place })
		b.rows, b.byWorker[worker] = slices.Insert(b.rows, after, row), row
	}
	return b.byWorker[worker]
}

// inFlight returns the steps that have not ended: "workers-3 clone".
func (b *board) inFlight() []string {
	var running []string
	for _, row := range b.rows {
		if step := row.current(); step != nil {
			running = append(running, row.worker+" "+string(step.kind))
		}
	}
	return running
}

// current returns the step that has not ended; nil when there is none.
func (r *boardRow) current() *boardStep {
	if n := len(r.steps); n > 0 && !r.steps[n-1].ended() {
		return &r.steps[n-1]
	}
	return nil
}

// usualTime is how long a slow step usually takes: an Ubuntu cloud image answers through
// its agent after about 30 s.
var usualTime = map[plan.StepKind]string{plan.StepAgent: "usually 30s"}

var spinner = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

// spinEvery is the time between two frames of the spinner.
const spinEvery = 100 * time.Millisecond

// frame draws the board for a terminal: one line for each worker, no line wider than
// width and at most height lines.
func (b *board) frame(now time.Time, width, height int, p term.Paint) []term.Text {
	rows := b.rows
	hidden := 0
	if height > 1 && len(rows) > height-1 {
		// Workers in progress come first; those that are done may be hidden.
		rows = slices.Clone(rows)
		slices.SortStableFunc(rows, func(a, b *boardRow) int { return rank(a) - rank(b) })
		hidden = len(rows) - (height - 2)
		rows = rows[:height-2]
	}
	name := 0
	for _, worker := range b.order {
		name = max(name, len(term.Clean(worker)))
	}
	for _, row := range rows {
		name = max(name, len(term.Clean(row.worker)))
	}
	var lines []term.Text
	for _, row := range rows {
		lines = append(lines, row.line(now, name, width, p))
	}
	if hidden > 0 {
		lines = append(lines, p.Dim(fmt.Sprintf("… and %d more", hidden)))
	}
	return lines
}

func rank(r *boardRow) int {
	if r.current() != nil {
		return 0
	}
	return 1
}

// line draws one worker: `workers-3   claim ✓  clone ✓ 4s  agent ⠼ 18s (usually 30s)`.
// When it is too long, the first steps are left out.
func (r *boardRow) line(now time.Time, name, width int, p term.Paint) term.Text {
	parts := make([]segment, len(r.steps))
	for i, step := range r.steps {
		parts[i] = step.segment(now, p)
	}
	length := func() int {
		sum := name + 2
		for _, part := range parts {
			sum += part.width + 2
		}
		return sum - 2
	}
	cut := false
	for width > 0 && len(parts) > 1 && length()+2 > width {
		parts, cut = parts[1:], true
	}
	line := term.Sprintf("%-*s  ", name, r.worker)
	if cut {
		line += "… "
	}
	for i, part := range parts {
		if i > 0 {
			line += "  "
		}
		line += part.text
	}
	return line
}

// segment is one step of a line, and its width without colours.
type segment struct {
	text  term.Text
	width int
}

func (s boardStep) segment(now time.Time, p term.Paint) segment {
	mark, colour, after := s.picture(now, p)
	plain := strings.TrimRight(string(s.kind)+" "+mark+" "+after, " ")
	text := term.Sprintf("%s %s", s.kind, colour(mark))
	if after != "" {
		text += " " + p.Dim(after)
	}
	return segment{text: text, width: len([]rune(plain))}
}

// picture returns the step's symbol, its colour, and how long the step takes.
func (s boardStep) picture(now time.Time, p term.Paint) (mark string, colour func(string) term.Text, after string) {
	switch s.phase {
	case apply.Done:
		return "✓", p.Green, seconds(s.took)
	case apply.Warned:
		return "!", p.Yellow, seconds(s.took)
	case apply.Failed:
		return "✗", p.Red, seconds(s.took)
	case apply.Stopped:
		return "■", p.Yellow, "stopped"
	default:
		elapsed := max(now.Sub(s.began), 0)
		mark, after = string(spinner[int(elapsed/spinEvery)%len(spinner)]), seconds(elapsed)
		if hint := usualTime[s.kind]; hint != "" && after != "" {
			after += " (" + hint + ")"
		}
		return mark, p.Cyan, after
	}
}
