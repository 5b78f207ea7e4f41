package bind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Kernel writes to attributes of sysfs.
type Kernel interface {
	// Write writes to an attribute that exists. When the kernel has not answered
	// before the context ends, it returns the context's error; the write may
	// still happen later.
	Write(ctx context.Context, name string, data []byte) error
}

// Files are the files of the host that are ours.
type Files interface {
	hosttree.Reader
	// WriteFile puts a file in place, whole, and returns when it is on the disk.
	WriteFile(name string, data []byte, mode fs.FileMode) error
	// Remove removes a file, and returns when that is on the disk.
	Remove(name string) error
	// Lock takes a lock that ends with the process, or says that another has it.
	Lock(name string) (unlock func(), err error)
}

// Runner runs a command of the host.
type Runner interface {
	// Run returns what the command printed, and shows it meanwhile unless show is
	// nil.
	Run(ctx context.Context, show io.Writer, argv ...string) (output string, err error)
	// Ask is Run for a command that changes nothing. When the context ends it is
	// killed with all that it started, or left behind when it cannot be.
	Ask(ctx context.Context, argv ...string) (output string, err error)
}

// Machine is the host that cards are bound on.
type Machine struct {
	Tree   hosttree.Reader
	Files  Files
	Kernel Kernel
	Runner Runner
	// Deadline is how long the kernel may take for a write; 0 is Deadline.
	Deadline time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Say is told what is being done; nil is silence.
	Say func(text string)
	// Show gets what commands that change something print; nil for nobody.
	Show io.Writer
}

// The longest that is waited. A card with much memory may take some seconds to
// be unbound; an initramfs for each of many kernels takes minutes, and to list a
// large one from a slow disk takes one. nvidia-smi answers in a second, or in ten
// when it has to wake many cards; where a card is broken it never does.
const (
	Deadline        = 60 * time.Second
	commandDeadline = 30 * time.Minute
	listDeadline    = 5 * time.Minute
	askDeadline     = 20 * time.Second
)

// StuckError is a write that never returned.
type StuckError struct {
	Slot pci.Slot
	Step string
}

func (e *StuckError) Error() string {
	return fmt.Sprintf("%s is stuck in the kernel: %q did not return. Nothing can be done to it before the host is rebooted, and nothing is tried. "+
		"Move what runs on this host elsewhere, then reboot. To have the card bound from then on, say first: gpuworker-host bind %s --at-next-boot --yes", e.Slot.At(0), e.Step, e.Slot.At(0))
}

// RefusedError is what our own rules forbid.
type RefusedError struct {
	Slot    pci.Slot
	Verb    string
	Reasons []Reason
}

func (e *RefusedError) Error() string {
	text := fmt.Sprintf("%s %s is refused", e.Verb, e.Slot.At(0))
	for _, r := range e.Reasons {
		text += fmt.Sprintf("; %s: %s (%s)", r.ID, r.Why, r.Fix)
	}
	return text
}

// movedError is a card that changed while it was moved, as one that fell off the
// bus does. Which of its functions still is what it was nobody knows.
type movedError struct {
	slot pci.Slot
	why  string // "" when it is again what it was
}

func (e *movedError) Error() string {
	why := e.why
	if why == "" {
		why = "it is again what it was before"
	}
	return fmt.Sprintf("%s changed while it was moved: %s. No driver is touched any more; see gpuworker-host list. "+
		"The journal /%s keeps what was there before. Unbind touches no driver of a card that changed, and ends the journal",
		e.slot, why, journalFile(e.slot))
}

func (m *Machine) say(format string, args ...any) {
	if m.Say != nil {
		m.Say(fmt.Sprintf(format, args...))
	}
}

func (m *Machine) now() time.Time {
	now := time.Now
	if m.Now != nil {
		now = m.Now
	}
	return now().UTC().Truncate(time.Second)
}

// save writes the journal. Everybody may read it: it holds no secret, and who
// lists cards without root must know which not to touch.
func (m *Machine) save(j *Journal) error {
	if err := m.Files.WriteFile(journalFile(j.Card.Slot), FormatJournal(j), 0o644); err != nil {
		return &saveError{err}
	}
	return nil
}

// saveError is a journal that could not be written: without it nothing more may
// be touched, not even to go back.
type saveError struct{ err error }

func (e *saveError) Error() string {
	return fmt.Sprintf("write the journal below /%s: %v; without it nothing is touched", journalDir, e.err)
}

func (e *saveError) Unwrap() error { return e.err }

// perform does one step.
func (m *Machine) perform(ctx context.Context, s Step) error {
	m.say("%s", s)
	var err error
	switch s.Kind {
	case Load, Rebuild:
		return m.command(ctx, s.Argv...)
	case Put:
		err = m.Files.WriteFile(s.Name, []byte(s.Data), fs.FileMode(s.mode))
	case Remove:
		if err = m.Files.Remove(s.Name); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	case Set, Take, Give, Offer:
		deadline := m.Deadline
		if deadline == 0 {
			deadline = Deadline
		}
		// What began is not cut off by whoever no longer wants to wait.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deadline)
		defer cancel()
		err = m.Kernel.Write(ctx, s.Name, []byte(s.Data))
		if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return &StuckError{s.BDF.Slot, s.String()}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s, reason(err))
	}
	return nil
}

func (m *Machine) command(ctx context.Context, argv ...string) error {
	ctx, cancel := context.WithTimeout(ctx, commandDeadline)
	defer cancel()
	output, err := m.Runner.Run(ctx, m.Show, argv...)
	if err != nil {
		return fmt.Errorf("run %s: %w%s", strings.Join(argv, " "), err, tail(output))
	}
	return nil
}

// ask runs a command that changes nothing.
func (m *Machine) ask(ctx context.Context, deadline time.Duration, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	return m.Runner.Ask(ctx, argv...)
}

// tail is the end of what a command printed, where the reason usually is.
func tail(output string) string {
	const most = 2000
	if output == "" {
		return ""
	}
	if len(output) > most {
		output = "…" + output[len(output)-most:]
	}
	return "; it printed: " + output
}

// reason is an error without the path, which the step names already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Careful is a tree without the attributes that cannot be read while a card is
// stuck: the kernel would lock up the reader too. They read as what nobody may
// look at.
func Careful(tree hosttree.Reader, journals []*Journal) hosttree.Reader {
	c := carefulTree{tree, map[string]bool{}}
	boot := BootID(tree)
	for _, j := range journals {
		if !j.StuckNow(boot) {
			continue
		}
		for _, f := range j.Card.Functions {
			c.locked[f.BDF.String()] = true
		}
	}
	if len(c.locked) == 0 {
		return tree
	}
	return c
}

type carefulTree struct {
	hosttree.Reader
	locked map[string]bool
}

// ReadFile implements hosttree.Reader.
func (c carefulTree) ReadFile(name string) ([]byte, error) {
	dir, attribute := path.Split(name)
	if attribute == "driver_override" && c.locked[path.Base(dir)] {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return c.Reader.ReadFile(name)
}
