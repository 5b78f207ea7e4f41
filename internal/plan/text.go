package plan

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/phrase"
	"github.com/gpuworker/gpuworker/internal/term"
)

// Style says how a plan is printed.
type Style struct {
	Color bool
	Width int // columns; 0 means 100
	// Command adds the flags to a command of ours that it needs to run as printed; nil
	// adds nothing.
	Command func(string) string
	// Advice does the same for commands within a sentence; nil adds nothing.
	Advice func(string) string
}

// Text prints the plan for an operator: what happens to each worker, where and why,
// what is refused, and what to do about it.
func Text(w io.Writer, p *Plan, style Style) error {
	if style.Width <= 0 {
		style.Width = 100
	}
	p = cleaned(p)
	t := &printer{Style: style, kubeCluster: oneKubeCluster(p)}
	t.header(p)
	var before *Worker
	for i := range p.Pools {
		before = t.pool(&p.Pools[i], before)
	}
	if len(p.Pools) == 0 {
		t.line("  no workers")
		t.line("")
	}
	t.findings(p)
	t.footer(p)
	_, err := io.WriteString(w, t.out.String())
	return err
}

type printer struct {
	Style
	kubeCluster string // of all pools, "" when they differ
	out         strings.Builder
}

func (t *printer) line(text string) { t.out.WriteString(strings.TrimRight(text, " ") + "\n") }

type colour func(term.Paint, string) term.Text

var green, yellow, red, faint, bold colour = term.Paint.Green, term.Paint.Yellow, term.Paint.Red, term.Paint.Dim, term.Paint.Bold

func (t *printer) paint(as colour, text string) string {
	return string(as(term.Paint{On: t.Color}, text))
}

func (t *printer) header(p *Plan) {
	text := fmt.Sprintf("Hypervisor %s (%s %s, %s)", p.Hypervisor, p.Product, p.Version, term.Count(p.HostCount, "host"))
	if t.kubeCluster != "" {
		text += " · KubeCluster " + t.kubeCluster
	}
	t.line(t.paint(bold, text) + " · fingerprint " + p.Fingerprint)
	t.line("")
}

// oneKubeCluster is the KubeCluster of all pools, "" when they differ.
func oneKubeCluster(p *Plan) string {
	name := ""
	for i, pool := range p.Pools {
		if i > 0 && pool.KubeCluster != name {
			return ""
		}
		name = pool.KubeCluster
	}
	return name
}

// columns are the widths of name, host and card.
type columns struct{ name, host, card int }

func columnsOf(pool *Pool) columns {
	c := columns{}
	for i := range pool.Workers {
		w := &pool.Workers[i]
		c.name, c.host, c.card = max(c.name, length(w.Name)), max(c.host, length(w.Host)), max(c.card, length(cardText(w)))
	}
	return c
}

func cardText(w *Worker) string {
	if w.Card.IsZero() {
		return ""
	}
	return strings.TrimSpace(w.Card.BDF().String() + " " + w.Model)
}

// fewReasons is how many refusals are printed again for another pool; longer lists are
// replaced by a reference to the worker before.
const fewReasons = 10

// pool prints a pool and returns its last worker. before is that of the pool above it.
func (t *printer) pool(pool *Pool, before *Worker) (last *Worker) {
	parts := []string{pool.Name, pool.Lifecycle}
	if t.kubeCluster == "" && pool.KubeCluster != "" {
		parts = append(parts, "KubeCluster "+pool.KubeCluster)
	}
	title := strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), " · ")
	t.line(fmt.Sprintf("  %s · %d desired, %d present", t.paint(bold, title), pool.Desired, pool.Present))
	c := columnsOf(pool)
	if before != nil && len(before.Refusals) <= fewReasons {
		before = nil
	}
	for i := range pool.Workers {
		w := &pool.Workers[i]
		t.worker(w, c)
		t.details(w, before)
		before = w
	}
	t.line("")
	return before
}

// signs are the first column: the action as one character.
var signs = map[Action]struct {
	sign  string
	color colour
}{
	Keep: {"=", faint}, Create: {"+", green}, Finish: {"+", green}, Adopt: {"+", green}, Disown: {"~", yellow},
	Update: {"~", yellow}, Restart: {"~", yellow}, Start: {"~", green}, Park: {"~", yellow}, Unpark: {"~", green},
	Replace: {"±", red}, Destroy: {"-", red}, Release: {"-", yellow},
	Refuse: {"✗", red}, Hold: {"!", yellow}, Wait: {"…", yellow},
}

func (t *printer) worker(w *Worker, c columns) {
	sign := signs[w.Action]
	head := "    " + t.paint(sign.color, sign.sign) + " " + pad(w.Name, c.name) + "  "
	if c.host > 0 {
		head += pad(w.Host, c.host) + "  "
	}
	if c.card > 0 {
		head += pad(cardText(w), c.card) + "  "
	}
	indent := 6 + c.name + 2 + gapAfter(c.host) + gapAfter(c.card)
	if indent > t.Width/2 { // too wide: continue below
		t.line(head)
		head, indent = strings.Repeat(" ", 8), 8
	}
	for i, line := range t.what(w, t.Width-indent) {
		if i > 0 {
			head = strings.Repeat(" ", indent)
		}
		t.line(head + line)
	}
}

func gapAfter(width int) int {
	if width == 0 {
		return 0
	}
	return width + 2
}

// what says what happens to the worker, and why: in one line, or in two if it is long.
func (t *printer) what(w *Worker, width int) []string {
	phrase, reason := phrases[w.Action], w.Reason
	if w.Source != nil {
		reason = origin(w) + ", " + reason
	}
	words := reason
	if phrase != nil {
		words = phrase(w)
	}
	if words == reason || reason == "" {
		return wrap(words, width)
	}
	if length(words)+3+length(reason) <= width {
		return []string{words + "   " + t.paint(faint, reason)}
	}
	lines := wrap(words, width)
	for _, line := range wrap(reason, width) {
		lines = append(lines, t.paint(faint, line))
	}
	return lines
}

// phrases say what happens; for an action without a phrase, only the reason is
// printed.
var phrases = map[Action]func(w *Worker) string{
	Create: func(w *Worker) string { return "create " + size(w) },
	Finish: func(w *Worker) string { return fmt.Sprintf("finish VM %s: %s", w.VM, stepWords(w.Steps)) },
	Update: func(w *Worker) string { return fmt.Sprintf("change VM %s in place", w.VM) },
	Restart: func(w *Worker) string {
		return fmt.Sprintf("stop, change and start VM %s", w.VM)
	},
	Start: func(w *Worker) string { return fmt.Sprintf("start VM %s", w.VM) },
	Replace: func(w *Worker) string {
		if w.Ref.Host != w.Host {
			return fmt.Sprintf("destroy VM %s on %s, then create %s", w.Ref.ID, w.Ref.Host, size(w))
		}
		return fmt.Sprintf("destroy VM %s, then create %s", w.Ref.ID, size(w))
	},
	Destroy: func(w *Worker) string { return fmt.Sprintf("destroy VM %s and its disks", w.VM) },
	Park: func(w *Worker) string {
		if w.Card.IsZero() {
			return fmt.Sprintf("stop VM %s", w.VM)
		}
		return fmt.Sprintf("stop VM %s and keep its card", w.VM)
	},
	Unpark:  func(w *Worker) string { return fmt.Sprintf("start VM %s again", w.VM) },
	Adopt:   func(w *Worker) string { return fmt.Sprintf("take over VM %s", w.VM) },
	Disown:  func(w *Worker) string { return fmt.Sprintf("disown VM %s, which stays as it is", w.VM) },
	Release: func(*Worker) string { return "release the card" },
	Refuse:  func(*Worker) string { return "refused" },
}

// size says what a new VM is.
func size(w *Worker) string {
	vm := "a VM"
	if w.VM != "" {
		vm = "VM " + w.VM
	}
	text := fmt.Sprintf("%s: %s, %s", vm, term.Count(w.Desired.Cores, "core"), phrase.Bytes(int64(w.Desired.MemoryMiB)<<20))
	if w.Record != nil && w.Record.Driver != "" && !w.Card.IsZero() {
		text += ", driver " + strings.ReplaceAll(w.Record.Driver, ",", " ")
	}
	return text
}

// origin says what a new VM is cloned from.
func origin(w *Worker) string {
	if w.Source.Full {
		return "full clone of " + w.Source.Template
	}
	return "linked clone of " + w.Source.Template
}

// details are the lines below a worker: changes, refusals, notes, what to do.
// before is the worker above it, whose refusals are not repeated.
func (t *printer) details(w, before *Worker) {
	const indent = "        "
	for _, c := range w.Changes {
		text := c.String()
		if waits(w, c) {
			text += ", waits"
		}
		for i, line := range wrap(text, t.Width-len(indent)) {
			if i > 0 {
				line = "  " + line
			}
			t.line(indent + line)
		}
	}
	if len(w.Refusals) > 0 && before != nil && reflect.DeepEqual(w.Refusals, before.Refusals) {
		t.line(indent + "for the same reasons as " + before.Name)
	} else {
		t.list(w.Refusals, indent)
	}
	notes := slices.DeleteFunc(slices.Clone(w.Notes), func(f finding.Finding) bool {
		return f.ID == finding.HostDriver || f.ID == finding.VMCloneStuck || f.Reason == w.Reason
	})
	t.list(notes, indent)
	t.hint(w.Hint, indent)
}

// hint prints what a person can do next: a command in one line, so that it can be
// copied.
func (t *printer) hint(text, indent string) {
	switch {
	case text == "":
	case strings.HasPrefix(text, "gpuworker "):
		if t.Command != nil {
			text = t.Command(text)
		}
		t.line(indent + "→ " + text)
	default:
		if t.Advice != nil {
			text = t.Advice(text)
		}
		for _, line := range wrap("→ "+text, t.Width-len(indent)) {
			t.line(indent + line)
		}
	}
}

// waits reports whether a change is not made by the steps.
func waits(w *Worker, c Change) bool {
	switch {
	case len(w.Steps) == 0:
		return true
	case c.When == NeedsRemake:
		return w.Action != Replace
	}
	return c.When == NeedsStop && strings.Contains(w.Hint, "--allow-restart")
}

// list prints findings, each with its place.
func (t *printer) list(all []finding.Finding, indent string) {
	term.Printer{Out: &t.out, Paint: term.Paint{On: t.Color}, Width: t.Width, Advice: t.Advice}.ByPlace(all, len(indent))
}
