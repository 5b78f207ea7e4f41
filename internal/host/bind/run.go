package bind

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// Apply carries out the plan, unless it is refused or the host changed since.
func (m *Machine) Apply(ctx context.Context, p *Plan) error {
	unlock, err := m.Files.Lock(lockFile)
	if err != nil {
		return err
	}
	defer unlock()
	now, err := m.planAgain(ctx, p)
	switch {
	case err != nil:
		return err
	case len(now.Refused) > 0:
		return &RefusedError{p.BDF.Slot, p.Verb, now.Refused}
	case !slices.EqualFunc(now.Steps, p.Steps, func(a, b Step) bool { return a.String() == b.String() }):
		return fmt.Errorf("the host changed since the plan was made; nothing was done. Run the command again")
	case now.Already:
		return nil
	}
	if p.Verb == UnbindVerb {
		return m.unbind(ctx, now)
	}
	return m.bind(ctx, now)
}

func (m *Machine) planAgain(ctx context.Context, p *Plan) (*Plan, error) {
	if p.Verb == UnbindVerb {
		return m.PlanUnbind(ctx, p.BDF)
	}
	return m.PlanBind(ctx, p.BDF, p.Options)
}

// bind runs the steps to the goal, and rolls back when that fails.
func (m *Machine) bind(ctx context.Context, p *Plan) error {
	j := p.journal
	err := m.pursue(ctx, j, "")
	if err == nil || !mayGoBack(err) {
		return err
	}
	m.say("%v", err)
	j.Goal, j.AtBoot = Free, false
	if p.from != nil && p.from.Settled && p.from.Goal == Bound && !slices.ContainsFunc(p.Steps, Step.moves) {
		// Only files were to change; the card keeps its driver.
		j.Goal, j.AtBoot, j.Persist = Bound, p.from.AtBoot, p.from.Persist
	}
	m.say("rolling back")
	if back := m.pursue(ctx, j, ""); back != nil {
		return fmt.Errorf("%w; and the rollback failed too: %w. The journal /%s keeps the previous drivers: "+
			"fix the cause and run gpuworker-host unbind %s --yes", err, back, journalFile(j.Card.Slot), p.BDF)
	}
	return fmt.Errorf("%w; all changes were rolled back", err)
}

// moves reports whether a step changes the driver of a function.
func (s Step) moves() bool {
	return s.Kind == Set || s.Kind == UnbindDriver || s.Kind == BindDriver || s.Kind == Offer
}

// mayGoBack reports whether a rollback is possible after an error.
func mayGoBack(err error) bool {
	var stuck *StuckError
	var save *saveError
	var moved *movedError
	return !errors.As(err, &stuck) && !errors.As(err, &save) && !errors.As(err, &moved) && !errors.Is(err, context.Canceled)
}

// unbind runs the steps to the goal. It does not roll back: that would take
// functions from drivers that have just got them and may already be in use.
func (m *Machine) unbind(ctx context.Context, p *Plan) error {
	if err := m.pursue(ctx, p.journal, p.Moved); err != nil {
		return fmt.Errorf("%w; the card is not completely returned. The journal keeps the previous drivers: fix the cause and run gpuworker-host unbind %s --yes again",
			err, p.BDF)
	}
	return nil
}

// pursue runs steps until none remain. Before each step the journal is written;
// after each the host is read again. On the way to free, when a driver does not
// take a function back, the run continues with the other functions and files and
// reports the error at the end. moved is Plan.Moved, which the operator has seen.
// If the card changes after that, the run ends and the journal stays.
func (m *Machine) pursue(ctx context.Context, j *Journal, moved string) error {
	j.Settled = false
	last := ""
	left := map[pci.BDF]bool{}
	var failures []error
	for range mostSteps {
		if err := ctx.Err(); err != nil {
			return err
		}
		seen, err := m.see(j)
		if err != nil {
			return err
		}
		if seen.Moved != moved {
			return m.wrong(j, &movedError{j.Card.Slot, seen.Moved})
		}
		steps := slices.DeleteFunc(remaining(j, seen), func(s Step) bool { return left[s.BDF] })
		switch {
		case len(steps) == 0 && len(failures) > 0:
			return m.wrong(j, errors.Join(failures...))
		case len(steps) == 0:
			return m.settle(j)
		}
		err = m.next(ctx, j, seen, steps[0], last)
		last = steps[0].String()
		switch {
		case err == nil:
		case j.Goal == Free && mayGoBack(err) && (steps[0].Kind == BindDriver || steps[0].Kind == Offer):
			left[steps[0].BDF] = true
			failures = append(failures, err)
		default:
			return m.wrong(j, err)
		}
	}
	return m.wrong(j, fmt.Errorf("the card is still not %s after %d steps: another program changes its drivers at the same time; stop that program and run the command again", j.Goal, mostSteps))
}

// mostSteps is far more than a card with eight functions needs.
const mostSteps = 200

// next writes the journal and then runs one step.
func (m *Machine) next(ctx context.Context, j *Journal, seen Seen, step Step, last string) error {
	if step.String() == last {
		return fmt.Errorf("%s: the kernel accepted it and did nothing", step)
	}
	j.Doing = step.String()
	j.Rebuild = j.Rebuild || step.Kind == Put || step.Kind == Remove
	if err := m.save(j); err != nil {
		return err
	}
	return m.step(ctx, j, seen, step)
}

// see reads the state that the steps depend on; for a stuck card, the files only.
func (m *Machine) see(j *Journal) (Seen, error) {
	if j.Stuck != nil && j.StuckNow(BootID(m.Tree)) {
		return seeFiles(m.Tree, m.Files, j.Card.Slot), nil
	}
	return see(m.Tree, m.Files, j.Card)
}

// step runs one step and records in the journal what cannot be read from the host.
func (m *Machine) step(ctx context.Context, j *Journal, seen Seen, s Step) error {
	switch s.Kind {
	case Rebuild:
		return m.rebuild(ctx, j, seen.Mechanism)
	case UnbindDriver:
		if err := m.refuseInUse(ctx, j, s); err != nil {
			return err
		}
	case Load:
		return m.load(ctx, j, s)
	case Set, BindDriver, Offer, Put, Remove:
	}
	err := m.perform(ctx, s)
	if err == nil && s.Kind == Offer {
		i := slices.IndexFunc(j.Before, func(b Before) bool { return b.BDF == s.BDF })
		j.Before[i].Offered = true
	}
	return err
}

// load loads a module. When the previous driver is no longer on the host, unbind
// continues: the kernel may choose another driver.
func (m *Machine) load(ctx context.Context, j *Journal, s Step) error {
	err := m.perform(ctx, s)
	if err == nil {
		names, readErr := m.Tree.ReadDir(pciDrivers)
		if readErr != nil {
			return readErr
		}
		if j.Goal == Bound || slices.ContainsFunc(j.Before, func(b Before) bool { return b.module() == s.Argv[1] && slices.Contains(names, b.Driver) }) {
			return nil
		}
		err = fmt.Errorf("%s did not load the driver", s)
	}
	if j.Goal == Bound {
		return err
	}
	for i := range j.Before {
		if j.Before[i].module() == s.Argv[1] {
			j.Before[i].Lost = true
			m.say("%v; the kernel may choose another driver for %s", err, j.Before[i].BDF)
		}
	}
	return nil
}

// refuseInUse checks again, directly before a driver is unbound, whether the card
// is in use: an unbind would wait for its users and cannot be killed.
func (m *Machine) refuseInUse(ctx context.Context, j *Journal, s Step) error {
	l, err := m.lookAtCard(j.Card.Slot)
	if err != nil {
		return err
	}
	f := m.users(ctx, l)
	var reasons []Reason
	for _, r := range f.held() {
		main := l.host.Function(s.BDF)
		if r.ID != "NVIDIA-UNPROVEN" || main != nil && main.Driver == "nvidia" {
			reasons = append(reasons, r)
		}
	}
	if len(reasons) > 0 {
		return &RefusedError{j.Card.Slot, "taking the driver from", reasons}
	}
	return nil
}

// rebuild rebuilds the initramfs of all kernels and verifies each.
func (m *Machine) rebuild(ctx context.Context, j *Journal, mechanism Mechanism) error {
	for _, argv := range mechanism.Rebuild {
		if err := m.perform(ctx, Step{Kind: Rebuild, Argv: argv}); err != nil {
			return err
		}
	}
	file := cardFile(j.Card.Slot)
	wanted := j.Goal == Bound && j.Persist
	for _, image := range mechanism.Images {
		listing, err := m.ask(ctx, listDeadline, mechanism.Lister, image)
		if err != nil {
			return fmt.Errorf("check whether /%s is in %s: %w%s", file, image, err, tail(listing))
		}
		switch in := inImage(listing, file); {
		case wanted && !in:
			return fmt.Errorf("/%s is not in %s, although the image was rebuilt: at the next boot a driver of the host would get the card", file, image)
		case !wanted && in:
			return fmt.Errorf("/%s is still in %s, although the image was rebuilt: at the next boot the card would be bound again", file, image)
		}
	}
	j.Rebuild = false
	return m.save(j)
}

// settle records that the goal is reached.
func (m *Machine) settle(j *Journal) error {
	if j.Goal == Free {
		if err := m.Files.Remove(journalFile(j.Card.Slot)); err != nil {
			return &saveError{err}
		}
		return nil
	}
	j.Settled, j.Doing, j.Wrong, j.Rebuild = true, "", "", false
	return m.save(j)
}

// wrong records an error in the journal and returns it.
func (m *Machine) wrong(j *Journal, err error) error {
	j.Wrong = err.Error()
	var stuck *StuckError
	if errors.As(err, &stuck) {
		j.Stuck = &Stuck{Step: stuck.Step, BootID: BootID(m.Tree)}
	}
	if saved := m.save(j); saved != nil {
		return errors.Join(err, saved)
	}
	return err
}

// Assert returns what is missing for the card of this function to be bound now; it
// is empty when the card is bound.
func (m *Machine) Assert(bdf pci.BDF) (missing []string, err error) {
	l, err := m.lookAtCard(bdf.Slot)
	switch {
	case err != nil:
		return nil, err
	case l.stuck():
		return nil, &StuckError{bdf.Slot, l.journal.Stuck.Step}
	case len(l.card.Functions) == 0:
		return nil, fmt.Errorf("there is no device at %s; see gpuworker-host list", bdf)
	}
	for _, f := range l.card.Functions {
		switch f.Driver {
		case VFIO:
		case "":
			missing = append(missing, fmt.Sprintf("%s has no driver", f.BDF))
		default:
			missing = append(missing, fmt.Sprintf("%s is on %s", f.BDF, f.Driver))
		}
	}
	if l.journal == nil {
		return missing, nil
	}
	if !l.journal.Settled {
		missing = append(missing, fmt.Sprintf("an earlier %s was interrupted at: %s", l.journal.Goal.Verb(), l.journal.Doing))
	}
	if why := l.journal.Card.Differs(l.fingerprint); why != "" {
		missing = append(missing, "it is not the card that was bound: "+why)
	}
	return missing, nil
}
