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

// Files gives access to the files on the host that gpuworker-host owns.
type Files interface {
	hosttree.Reader
	// WriteFile replaces a file atomically and returns when it is on the disk.
	WriteFile(name string, data []byte, mode fs.FileMode) error
	// Remove removes a file and returns when the removal is on the disk.
	Remove(name string) error
	// Lock takes a lock that ends with the process. It returns an error when another
	// process has it.
	Lock(name string) (unlock func(), err error)
}

// Runner runs a command of the host.
type Runner interface {
	// Run returns the output of the command. It also copies the output to show while
	// the command runs, unless show is nil.
	Run(ctx context.Context, show io.Writer, argv ...string) (output string, err error)
	// Ask is Run for a command that only reads. When the context ends, the command
	// is killed with all its children, or left behind when it cannot be killed.
	Ask(ctx context.Context, argv ...string) (output string, err error)
}

// Machine is the host that cards are bound on.
type Machine struct {
	Tree   hosttree.Reader
	Files  Files
	Kernel Kernel
	Runner Runner
	// Deadline limits each write to the kernel; 0 means one minute.
	Deadline time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Say receives progress messages; may be nil.
	Say func(text string)
	// Show receives the output of commands that change something; may be nil.
	Show io.Writer
}

// Deadlines. To unbind a card with much memory may take some seconds. To build the
// initramfs of many kernels takes minutes; to list a large one from a slow disk
// takes one minute. nvidia-smi answers in a second, or in ten when it has to wake
// many cards; with a broken card it may never answer.
const (
	writeDeadline   = 60 * time.Second
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
	return fmt.Sprintf("%s is stuck in the kernel: %q did not return. The card cannot be changed before the host is rebooted, and gpuworker-host does not try. "+
		"Move the VMs of this host to another host, then reboot. To have the card bound after the reboot, first run: gpuworker-host bind %s --at-next-boot --yes", e.Slot.At(0), e.Step, e.Slot.At(0))
}

// RefusedError lists the rules that forbid the verb for this card.
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

// movedError says that a card changed during a run, for example because it fell off
// the bus. It is then not known which of its functions are still the same.
type movedError struct {
	slot pci.Slot
	why  string // "" when the card is again the same as in the journal
}

func (e *movedError) Error() string {
	why := e.why
	if why == "" {
		why = "it is again the card of the journal"
	}
	return fmt.Sprintf("%s changed during the run: %s. No more drivers are touched; see gpuworker-host list. "+
		"The journal /%s keeps the previous drivers. Unbind touches no driver of a card that changed, and removes the journal",
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

// save writes the journal. All users may read it: it holds no secret, and a user who
// lists cards without root needs to know which of them are stuck.
func (m *Machine) save(j *Journal) error {
	if err := m.Files.WriteFile(journalFile(j.Card.Slot), FormatJournal(j), 0o644); err != nil {
		return &saveError{err}
	}
	return nil
}

// saveError says that the journal could not be written. Without a journal nothing
// more may be changed, not even to roll back.
type saveError struct{ err error }

func (e *saveError) Error() string {
	return fmt.Sprintf("write the journal below /%s: %v; nothing is changed without a journal", journalDir, e.err)
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
	case Set, UnbindDriver, BindDriver, Offer:
		deadline := m.Deadline
		if deadline == 0 {
			deadline = writeDeadline
		}
		// A write that began is not canceled with the caller's context.
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

// ask runs a command that only reads.
func (m *Machine) ask(ctx context.Context, deadline time.Duration, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	return m.Runner.Ask(ctx, argv...)
}

// tail returns the end of a command's output, where the reason usually is.
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

// reason returns an error without the path, because the step names the path too.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// HideStuck returns a tree in which the attributes of stuck cards that would block
// the reader in the kernel read as "permission denied".
func HideStuck(tree hosttree.Reader, journals []*Journal) hosttree.Reader {
	c := withoutStuck{tree, map[string]bool{}}
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

type withoutStuck struct {
	hosttree.Reader
	locked map[string]bool
}

// ReadFile implements hosttree.Reader.
func (c withoutStuck) ReadFile(name string) ([]byte, error) {
	dir, attribute := path.Split(name)
	if attribute == "driver_override" && c.locked[path.Base(dir)] {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return c.Reader.ReadFile(name)
}
