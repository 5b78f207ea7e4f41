package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"

	"github.com/gpuworker/gpuworker/internal/fault"
	hostbind "github.com/gpuworker/gpuworker/internal/host/bind"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/term"
)

func bindCommand() command {
	return command{
		name: "bind", args: "BDF", summary: "bind a card to vfio-pci, for virtual machines",
		long: `Bind all functions of a card to vfio-pci, so that a virtual machine can have the card, now
and after each boot. Without --yes it is a dry run. With --yes the address must be complete,
including the domain.

It refuses if the card is in use, if its IOMMU group contains other devices, if the host would
lose its last screen, or if a disk or a network interface is plugged into the card. It writes
each step to a journal first. After an error it undoes its steps. After a crash, run it again.`,
		example: "  gpuworker-host bind 0000:01:00.0\n  gpuworker-host bind 0000:01:00.0 --yes\n  gpuworker-host bind 0000:01:00.0 --at-next-boot --yes",
		flags: func(t *Tool, flags *flag.FlagSet) func([]string) error {
			var o hostbind.Options
			yes := flags.Bool("yes", false, "do it; without --yes it is a dry run")
			flags.BoolVar(&o.AtNextBoot, "at-next-boot", false, "only prepare the next boot; change no driver now")
			flags.BoolVar(&o.ConsoleLossOK, "console-loss-ok", false, "allow the host to lose its last screen")
			flags.BoolVar(&o.NoPersist, "no-persist", false, "bind only until the next reboot")
			return func(args []string) error {
				bdf, err := oneCard("bind", args, *yes)
				if err != nil {
					return err
				}
				if o.AtNextBoot && o.NoPersist {
					return usage("bind: --at-next-boot with --no-persist would do nothing")
				}
				m, err := t.host(*yes)
				if err != nil {
					return err
				}
				plan, err := m.PlanBind(context.Background(), bdf, o)
				return t.carryOut(m, plan, err, *yes)
			}
		},
	}
}

func unbindCommand() command {
	return command{
		name: "unbind", args: "BDF", summary: "give a card back to its former drivers",
		long: `Undo bind: give each function its former driver and driver override, and remove the files that
bind wrote. Without --yes it is a dry run. With --yes the address must be complete, including
the domain.

It refuses while a virtual machine has the card. After an error or a crash, run it again.`,
		example: "  gpuworker-host unbind 0000:01:00.0\n  gpuworker-host unbind 0000:01:00.0 --yes",
		flags: func(t *Tool, flags *flag.FlagSet) func([]string) error {
			yes := flags.Bool("yes", false, "do it; without --yes it is a dry run")
			return func(args []string) error {
				bdf, err := oneCard("unbind", args, *yes)
				if err != nil {
					return err
				}
				m, err := t.host(*yes)
				if err != nil {
					return err
				}
				plan, err := m.PlanUnbind(context.Background(), bdf)
				return t.carryOut(m, plan, err, *yes)
			}
		},
	}
}

func assertCommand() command {
	return command{
		name: "assert", args: "BDF --bound", summary: "exit with 0 if a card is bound to vfio-pci",
		long: `Exit with 0 if all functions of the card are bound to vfio-pci and no run of bind or unbind is
unfinished, with 4 if not, with 8 if the card is stuck until a reboot. Nothing is changed. For
systemd, Ansible and CI.`,
		example: "  gpuworker-host assert 0000:01:00.0 --bound",
		flags: func(t *Tool, flags *flag.FlagSet) func([]string) error {
			bound := flags.Bool("bound", false, "assert that the card is bound to vfio-pci (required)")
			return func(args []string) error {
				bdf, err := oneCard("assert", args, false)
				switch {
				case err != nil:
					return err
				case !*bound:
					return usage("assert: say what is asserted: --bound")
				}
				m, err := t.host(false)
				if err != nil {
					return err
				}
				return t.assert(m, bdf)
			}
		},
	}
}

// oneCard reads the argument. A change needs the whole address, because a short one
// may be meant for another domain.
func oneCard(verb string, args []string, yes bool) (pci.BDF, error) {
	if len(args) != 1 {
		return pci.BDF{}, usage("%s takes the address of one card, for example 0000:01:00.0; gpuworker-host list shows the addresses", verb)
	}
	bdf, err := pci.ParseBDF(args[0])
	switch {
	case err != nil:
		return bdf, usage("%s: %w", verb, err)
	case yes && args[0] != bdf.String():
		return bdf, usage("%s: with --yes write the whole address: %s", verb, bdf)
	}
	return bdf, nil
}

// host returns the host to bind cards on. For a captured host, or one in a directory,
// only plans are possible.
func (t *Tool) host(yes bool) (*hostbind.Machine, error) {
	if t.Host != nil {
		return t.Host, nil
	}
	if t.root != "/" {
		if yes {
			return nil, usage("--yes works on this machine only, not on --root %s", t.root)
		}
		return &hostbind.Machine{Tree: t.tree, Files: onlyRead{t.tree}}, nil
	}
	disk, err := hostbind.OpenDisk(t.root)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the executable of gpuworker-host, which is needed to write to the kernel from a separate process: %w", err)
	}
	m := &hostbind.Machine{Tree: t.tree, Files: disk, Kernel: hostbind.Child{Program: program, Root: t.root}, Runner: hostbind.Commands{}}
	if !t.json { // with JSON, the end of a command's output is in the error
		m.Show = t.Err
	}
	return m, nil
}

// onlyRead implements hostbind.Files for a tree that must not be changed.
type onlyRead struct{ hosttree.Reader }

var errOnlyRead = errors.New("this tree is read-only")

// WriteFile implements hostbind.Files.
func (onlyRead) WriteFile(string, []byte, fs.FileMode) error { return errOnlyRead }

// Remove implements hostbind.Files.
func (onlyRead) Remove(string) error { return errOnlyRead }

// Lock implements hostbind.Files.
func (onlyRead) Lock(string) (func(), error) { return nil, errOnlyRead }

// outcome is the JSON form of a plan and its result.
type outcome struct {
	*hostbind.Plan
	Done  bool   `json:"done"`
	Stuck bool   `json:"stuck"`
	Error string `json:"error,omitempty"`
}

// carryOut prints the plan and, with --yes, applies it.
func (t *Tool) carryOut(m *hostbind.Machine, plan *hostbind.Plan, err error, yes bool) error {
	if err == nil && !t.json {
		t.printPlan(plan)
	}
	refused := err == nil && len(plan.Refused) > 0
	do := yes && err == nil && !refused && !plan.Already
	if do {
		if !t.json {
			m.Say = func(text string) { term.Fprintln(t.Out, "  "+term.Line(text)) }
			term.Fprintln(t.Out, "\nNow:")
		}
		err = m.Apply(context.Background(), plan)
	}
	err = exitOf(err)
	if t.json {
		view := outcome{Plan: plan, Done: err == nil && (do || plan.Already)}
		var exit *exitError
		if errors.As(err, &exit) {
			view.Stuck = exit.code == fault.ExitStuck
		}
		if err != nil {
			view.Error = err.Error()
		}
		if err := t.machine(view); err != nil {
			return err
		}
	}
	switch {
	case err != nil:
		return err
	case refused:
		return &exitError{fault.ExitCheck, nil}
	case t.json || plan.Already:
	case do:
		term.Fprintf(t.Out, "\nDone: %s\n", whatIsNow(plan))
	default:
		term.Fprintf(t.Out, "\nNothing was done. To do it: gpuworker-host %s\n", commandOf(plan))
	}
	return nil
}

func whatIsNow(p *hostbind.Plan) string {
	switch {
	case p.Moved != "":
		return fmt.Sprintf("the files and the journal of %s are removed; no driver was touched.", p.BDF)
	case p.Verb == hostbind.UnbindVerb:
		return fmt.Sprintf("%s is on its previous drivers.", p.BDF)
	case p.Options.AtNextBoot:
		return fmt.Sprintf("from the next boot on, %s is on vfio-pci. Reboot the host at a convenient time.", p.BDF)
	}
	return fmt.Sprintf("%s is on vfio-pci.", p.BDF)
}

// commandOf is the command that applies the plan.
func commandOf(p *hostbind.Plan) string {
	text := p.Verb + " " + p.BDF.String()
	if p.Options.AtNextBoot {
		text += " --at-next-boot"
	}
	if p.Options.ConsoleLossOK {
		text += " --console-loss-ok"
	}
	if p.Options.NoPersist {
		text += " --no-persist"
	}
	return text + " --yes"
}

// exitOf adds the exit code to an error of package bind.
func exitOf(err error) error {
	var stuck *hostbind.StuckError
	var refused *hostbind.RefusedError
	var journal *hostbind.JournalError
	switch {
	case errors.As(err, &stuck):
		return &exitError{fault.ExitStuck, err}
	case errors.As(err, &refused), errors.As(err, &journal):
		return &exitError{fault.ExitCheck, err}
	}
	return err
}

func (t *Tool) printPlan(p *hostbind.Plan) {
	name := ""
	if p.Name != "" {
		name = " " + p.Name
	}
	switch {
	case p.Already && p.Verb == hostbind.BindVerb:
		term.Fprintf(t.Out, "%s%s is already bound: nothing to do.\n", p.BDF, name)
		return
	case p.Already && len(p.Refused) == 0:
		term.Fprintf(t.Out, "%s%s is not bound: nothing to do.\n", p.BDF, name)
		return
	}
	term.Fprintf(t.Out, "Plan: %s %s%s\n\n", p.Verb, p.BDF, name)
	g := term.NewTable("function", "ID", "kind", "driver", "override")
	g.HideEmpty = true
	for i, f := range p.Now {
		id, noun := "", ""
		if i < len(p.Card.Functions) && p.Card.Functions[i].BDF == f.BDF {
			id, noun = p.Card.Functions[i].ID.String(), p.Card.Functions[i].Class.Noun()
		}
		g.Add(f.BDF, id, noun, f.Driver, f.Override)
	}
	t.print.Table(g)
	term.Fprintln(t.Out, "")
	for i, step := range p.Steps {
		term.Fprintf(t.Out, "%3d. %s\n", i+1, step)
	}
	for _, note := range p.Notes {
		term.Fprintf(t.Out, "\nNote: %s\n", note)
	}
	if len(p.Refused) > 0 {
		term.Fprintf(t.Out, "\nRefused, nothing was done:\n")
	}
	for _, r := range p.Refused {
		term.Fprintf(t.Out, "  %s: %s.\n      %s.\n", r.ID, r.Why, r.Fix)
	}
}

func (t *Tool) assert(m *hostbind.Machine, bdf pci.BDF) error {
	missing, err := m.Assert(bdf)
	if err != nil {
		return exitOf(err)
	}
	if t.json {
		if missing == nil {
			missing = []string{}
		}
		err = t.machine(map[string]any{"bdf": bdf, "bound": len(missing) == 0, "missing": missing})
	} else {
		for _, text := range missing {
			term.Fprintln(t.Out, term.Line(text))
		}
	}
	if err == nil && len(missing) > 0 {
		err = &exitError{fault.ExitDiffers, nil}
	}
	return err
}
