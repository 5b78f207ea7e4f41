package bind

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// The verbs.
const (
	BindVerb   = "bind"
	UnbindVerb = "unbind"
)

// Plan holds the steps for a card, and the reasons to refuse them, if any.
type Plan struct {
	Verb    string   `json:"verb"`
	BDF     pci.BDF  `json:"bdf"`
	Options Options  `json:"options"`
	Card    Card     `json:"card"`
	Name    string   `json:"name"` // of the model
	Now     []State  `json:"-"`
	Steps   []Step   `json:"steps"`
	Refused []Reason `json:"refused"`
	// Notes are for the operator to know. They are no reasons to refuse.
	Notes []string `json:"notes"`
	// Already reports whether nothing is left to do.
	Already bool `json:"already"`
	// Moved is set by unbind: how the card differs from the one in the journal; "" when it
	// is the same. The drivers of another card are not touched.
	Moved string `json:"-"`

	journal *Journal // to be written
	from    *Journal // found on the disk; nil when there is none
}

// look is the state of a card and its host that both verbs start from. A card is stuck
// when a write to it never returned; reading its attributes would hang too.
type look struct {
	tree        hosttree.Reader // without the attributes of stuck cards
	journal     *Journal
	host        *hostpci.Host
	card        hostpci.Card
	fingerprint Card
}

// look reads the card's journal and then, unless the card is stuck, the host.
func (m *Machine) look(slot pci.Slot) (look, error) {
	journals, _ := ReadJournals(m.Files) // an unreadable journal of another card does not matter here
	tree := HideStuck(m.Tree, journals)
	return m.lookIn(tree, slot, func() (*hostpci.Host, error) { return hostpci.Read(tree) })
}

// lookAtCard is look for callers that need only this card and its users: it reads
// no other devices.
func (m *Machine) lookAtCard(slot pci.Slot) (look, error) {
	return m.lookIn(m.Tree, slot, func() (*hostpci.Host, error) { return hostpci.ReadSlot(m.Tree, slot) })
}

func (m *Machine) lookIn(tree hosttree.Reader, slot pci.Slot, read func() (*hostpci.Host, error)) (l look, err error) {
	l.tree = tree
	if l.journal, err = ReadJournal(m.Files, slot); err != nil || l.stuck() {
		return l, err
	}
	if l.host, err = read(); err != nil {
		return l, err
	}
	l.card, _ = l.host.Card(slot)
	l.fingerprint = Fingerprint(l.tree, l.card)
	return l, nil
}

func (l look) stuck() bool { return l.journal != nil && l.journal.StuckNow(BootID(l.tree)) }

// PlanBind plans to bind the card that this function belongs to.
func (m *Machine) PlanBind(ctx context.Context, bdf pci.BDF, o Options) (*Plan, error) {
	l, err := m.look(bdf.Slot)
	if err != nil {
		return nil, err
	}
	p := &Plan{Verb: BindVerb, BDF: bdf, Options: o, from: l.journal, Notes: []string{}}
	if l.stuck() {
		return p, m.planStuck(p, l)
	}
	if len(l.card.Functions) == 0 {
		return nil, fmt.Errorf("there is no device at %s; see gpuworker-host list", bdf)
	}
	p.Card, p.Name = l.fingerprint, l.card.Main().ShortName()
	p.journal = m.journalForBind(p, l)
	seen, err := see(l.tree, m.Files, p.journal.Card)
	if err != nil {
		return nil, err
	}
	p.computeSteps(seen)
	if p.Refused = p.leftovers(l); len(p.Refused) > 0 {
		p.Already = false
	}
	if len(p.Steps) == 0 {
		return p, nil
	}
	facts := m.facts(ctx, l)
	p.Refused = append(p.Refused, refusals(facts, o, p.Steps)...)
	p.refuseForeignFiles(m.Files, seen)
	p.bindNotes(seen, facts)
	return p, nil
}

// planStuck plans for a card that is stuck. Only binding at the next boot is
// possible. planStuck does not read the card; it relies on the journal.
func (m *Machine) planStuck(p *Plan, l look) error {
	if !p.Options.AtNextBoot || p.Verb != BindVerb {
		return &StuckError{p.BDF.Slot, l.journal.Stuck.Step}
	}
	j := *l.journal
	j.Goal, j.AtBoot, j.Persist = Bound, true, true
	p.Card, p.journal = j.Card, &j
	seen := seeFiles(l.tree, m.Files, p.BDF.Slot)
	p.computeSteps(seen)
	p.refuseForeignFiles(m.Files, seen)
	p.Notes = append(p.Notes, "The card is stuck in the kernel. This prepares the next boot; then reboot the host.")
	return nil
}

// journalForBind returns the journal for binding a card. The previous drivers are recorded
// by the first run only; later runs keep them.
func (m *Machine) journalForBind(p *Plan, l look) *Journal {
	j := &Journal{Card: l.fingerprint, Since: m.now()}
	if l.journal != nil {
		*j = *l.journal
		j.Before = slices.Clone(j.Before)
		j.Stuck = nil // it was stuck in an earlier boot, and is not now
	} else {
		for _, f := range l.card.Functions {
			j.Before = append(j.Before, before(l.tree, f))
		}
	}
	j.Goal, j.Persist, j.AtBoot = Bound, !p.Options.NoPersist, p.Options.AtNextBoot
	return j
}

// before records the current driver and override of a function.
func before(tree hosttree.Reader, f *hostpci.Function) Before {
	b := Before{BDF: f.BDF, Driver: f.Driver, Override: f.Override}
	if f.Driver != "" {
		if module, err := tree.Readlink(path.Join(pciDrivers, f.Driver, "module")); err == nil {
			b.Module = path.Base(module)
		}
	}
	return b
}

func (p *Plan) computeSteps(seen Seen) {
	p.Now = seen.Functions
	p.Steps = remaining(p.journal, seen)
	// nothing is left to do, and no earlier run is unfinished
	p.Already = len(p.Steps) == 0 && (p.from == nil || p.from.Settled && p.from.Goal == p.journal.Goal && p.from.Stuck == nil)
	p.Refused = []Reason{}
}

// leftovers returns the reasons to refuse that come from an earlier run.
func (p *Plan) leftovers(l look) []Reason {
	reasons := []Reason{}
	if p.from == nil {
		return reasons
	}
	if why := p.from.Card.Differs(l.fingerprint); why != "" {
		reasons = append(reasons, Reason{"MOVED", "the journal is of another card: " + why,
			fmt.Sprintf("remove that journal first; this changes no driver: gpuworker-host unbind %s --yes", p.BDF)})
	}
	if p.Options.AtNextBoot && !p.from.Settled && !p.from.AtBoot {
		reasons = append(reasons, Reason{"UNFINISHED", fmt.Sprintf("an earlier run was interrupted before the card was %s", p.from.Goal),
			"finish it first: bind without --at-next-boot, or unbind"})
	}
	return reasons
}

func (p *Plan) refuseForeignFiles(files hosttree.Reader, seen Seen) {
	if !slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind == Put || s.Kind == Remove }) {
		return
	}
	for _, why := range foreignFiles(files, seen.owned(p.BDF.Slot)) {
		p.Refused = append(p.Refused, Reason{"FOREIGN-FILE", why, "check what it is for and move it away"})
	}
}

func (p *Plan) bindNotes(seen Seen, f Facts) {
	note := func(format string, args ...any) { p.Notes = append(p.Notes, fmt.Sprintf(format, args...)) }
	if p.from != nil && !p.from.Settled {
		note("An earlier %s was interrupted at: %s. This run continues from there.", p.from.Goal.Verb(), p.from.Doing)
	}
	if p.journal.Persist && seen.Mechanism.Name == "udev" {
		note("No program that builds an initramfs was found. At boot udev binds the card to vfio-pci, which is too late when the initramfs has a driver for it.")
	}
	if p.journal.Persist && len(seen.Mechanism.Rebuild) > 0 && len(seen.Mechanism.Images) == 0 {
		note("No initramfs of an installed kernel was found in /boot, so it cannot be verified that the card's file is in it. After the reboot, verify with gpuworker-host assert.")
	}
	if !p.journal.Persist {
		note("After a reboot the card is free again (--no-persist).")
	}
	if p.Options.AtNextBoot && len(f.Host.IOMMUs) == 0 {
		note("The IOMMU is off now. vfio-pci takes the card only when it is on: see gpuworker-host check.")
	}
	for _, b := range f.Below {
		if b.Goes {
			note("The %s is connected to %s and leaves the host together with the card; connect it to another port if the host needs it.", b.What, b.BDF)
		}
	}
	if slices.ContainsFunc(f.Card.Functions, func(fn *hostpci.Function) bool { return fn.BootVGA }) {
		note("The firmware uses the screen on this card. That screen stays dark once the card is bound.")
	}
}

// facts reads what the rules for a bind depend on.
func (m *Machine) facts(ctx context.Context, l look) Facts {
	f := m.users(ctx, l)
	f.Below = readBelow(l.tree, l.card.Slot)
	f.VFIO = readVFIOUse(l.tree, m.Files, l.host)
	return f
}

// users reads who uses the card. It also works for the result of lookAtCard.
func (m *Machine) users(ctx context.Context, l look) Facts {
	f := Facts{Host: l.host, Card: l.card, Holders: hostpci.ReadHolders(l.tree, l.host), SeeMore: hosttree.ToSeeMore(l.tree)}
	i := slices.IndexFunc(l.card.Functions, func(fn *hostpci.Function) bool { return fn.Driver == "nvidia" })
	if i >= 0 {
		f.NVIDIA = m.nvidia(ctx, l.tree, l.card.Functions[i].BDF)
	}
	return f
}

// nvidia asks the NVIDIA driver who uses the card.
func (m *Machine) nvidia(ctx context.Context, tree hosttree.Reader, bdf pci.BDF) NVIDIA {
	var n NVIDIA
	information, _ := tree.ReadFile(path.Join("proc/driver/nvidia/gpus", bdf.String(), "information"))
	n.Minor = strings.Contains(string(information), "Device Minor")
	modeset, _ := tree.ReadFile("sys/module/nvidia_drm/parameters/modeset")
	n.ModeSet = strings.TrimSpace(string(modeset)) == "Y"
	names, _ := tree.ReadDir("proc")
	for _, pid := range names {
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		comm, _ := tree.ReadFile(path.Join("proc", pid, "comm"))
		// The kernel keeps 15 letters of a name.
		if name := strings.TrimSpace(string(comm)); name == "nvidia-persiste" || name == "nv-hostengine" {
			n.Daemons = append(n.Daemons, fmt.Sprintf("%s (process %s)", name, pid))
		}
	}
	if m.Runner == nil {
		return n
	}
	output, err := m.ask(ctx, askDeadline, "nvidia-smi", "--id="+bdf.String(), "--query-gpu=persistence_mode", "--format=csv,noheader")
	if err != nil {
		n.Silent = err.Error()
		return n
	}
	n.Persistence = strings.TrimSpace(output)
	return n
}

// PlanUnbind plans to give the card of this function back to its previous drivers.
func (m *Machine) PlanUnbind(_ context.Context, bdf pci.BDF) (*Plan, error) {
	l, err := m.look(bdf.Slot)
	if err != nil {
		return nil, err
	}
	p := &Plan{Verb: UnbindVerb, BDF: bdf, from: l.journal, Notes: []string{}}
	if l.stuck() {
		return p, m.planStuck(p, l)
	}
	p.Card = l.fingerprint
	j := &Journal{Card: l.fingerprint, Since: m.now()}
	if l.journal == nil {
		for _, f := range l.card.Functions {
			j.Before = append(j.Before, before(l.tree, f))
		}
	} else {
		*j = *l.journal
		j.Before = slices.Clone(j.Before)
		p.Card, j.Stuck = j.Card, nil
	}
	if len(l.card.Functions) > 0 {
		p.Name = l.card.Main().ShortName()
	}
	j.Goal = Free
	p.journal = j
	seen, err := see(l.tree, m.Files, j.Card)
	if err != nil {
		return nil, err
	}
	p.computeSteps(seen)
	p.judgeUnbind(l, seen)
	p.refuseForeignFiles(m.Files, seen)
	return p, nil
}

// judgeUnbind adds the reasons to refuse and the notes of an unbind, and sets Moved.
func (p *Plan) judgeUnbind(l look, seen Seen) {
	if p.from == nil && slices.ContainsFunc(seen.Functions, func(s State) bool { return s.Driver == VFIO || s.Override == VFIO }) {
		p.Refused = append(p.Refused, Reason{"NOT-OURS", "the card was bound to vfio-pci by another program, and its previous drivers are not known",
			"undo it where it was done: options in /etc/modprobe.d, driverctl, or Proxmox at the start of a VM"})
	}
	if p.Moved = seen.Moved; p.Moved != "" {
		p.Notes = append(p.Notes, fmt.Sprintf("The card is no longer at %s: %s. No driver is touched; the files of gpuworker-host are removed.", p.BDF, seen.Moved))
		return
	}
	if slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind == UnbindDriver }) {
		f := Facts{Host: l.host, Card: l.card, Holders: hostpci.ReadHolders(l.tree, l.host), Below: readBelow(l.tree, l.card.Slot), SeeMore: hosttree.ToSeeMore(l.tree)}
		f.Below = slices.DeleteFunc(f.Below, func(b Below) bool { // a device on a function that keeps its driver is safe
			return !slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind == UnbindDriver && s.BDF == b.BDF })
		})
		p.Refused = append(p.Refused, f.below()...)
		for _, r := range f.held() {
			if r.ID != "NVIDIA-UNPROVEN" { // does not matter: the driver to be unbound is vfio-pci
				p.Refused = append(p.Refused, r)
			}
		}
	}
}
