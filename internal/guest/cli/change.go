package cli

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/guest/action"
	"github.com/gpuworker/gpuworker/internal/guest/seal"
	"github.com/gpuworker/gpuworker/internal/term"
)

func bootstrapCommand() command {
	return command{
		name: "bootstrap", changes: true, summary: "make this VM a worker, as its orders say",
		long: `Do the steps that the orders in ` + guest.OrdersFile + ` need: keep nouveau and
automatic updates away, install and load the driver, and verify the GPU. Each step looks
first and changes only what is missing, so the command may be repeated at any time. It runs
at each boot, and continues after a restart or a kill. It never restarts the VM.

The status is in ` + guest.StatusFile + `, the log in ` + guest.LogFile + `.`,
		example: "  gpuworker-guest bootstrap",
		flags: func(t *Tool, _ *flag.FlagSet) func(context.Context, []string) error {
			return func(ctx context.Context, _ []string) error {
				return t.locked(func() error {
					status, err := t.guest().Bootstrap(ctx)
					switch {
					case status == nil:
						return err
					case t.output == "json":
						return errors.Join(t.machine(status), err)
					}
					t.printStatus(status)
					return err
				})
			}
		},
	}
}

// locked does something while no other run changes the guest.
func (t *Tool) locked(do func() error) error {
	unlock, err := t.files.Lock()
	if errors.Is(err, fs.ErrPermission) {
		return &fault.Error{Kind: fault.Denied, Why: "only root may change this guest", Fix: "run it as root", Cause: err}
	}
	if err != nil {
		return err
	}
	defer unlock()
	return do()
}

func sealCommand() command {
	return command{
		name: "seal", changes: true, summary: "prepare this VM to become a template",
		long: `Remove what must be different in each clone of a template: machine-id, SSH host keys, the
node's password and cattle-id, the state of cloud-init, and the files of gpuworker-guest.
Write a marker that says which kernel and driver the template has: ` + guest.MarkerFile + `.

Without --yes nothing is changed. Shut the VM down right after it: a start makes a new
machine-id, and all clones would have it. A worker is refused, unless it is named.`,
		example: "  gpuworker-guest seal\n  gpuworker-guest seal --yes && systemctl poweroff\n  gpuworker-guest seal --worker gpu-1",
		flags: func(t *Tool, flags *flag.FlagSet) func(context.Context, []string) error {
			yes := flags.Bool("yes", false, "do it")
			worker := flags.String("worker", "", "the `NAME` of the worker whose VM, or a copy of it, becomes a template")
			return func(ctx context.Context, _ []string) error {
				plan := func() ([]action.Action, error) {
					g := t.guest().Look(ctx)
					return seal.Plan(ctx, t.tree, t.runner, g, seal.Options{Worker: *worker, Program: t.Version.Version, Now: time.Now()})
				}
				if err := t.act(ctx, plan, *yes); err != nil {
					return err
				}
				for _, warning := range seal.Warnings(t.tree) {
					term.Fprintf(t.Err, "warning: %s\n", warning)
				}
				return nil
			}
		},
	}
}

func resetCommand() command {
	return command{
		name: "reset", changes: true, summary: "remove what bootstrap wrote",
		long: `Remove the files that bootstrap wrote, its status and its log, and the holds of packages
that it set. Packages stay installed. The orders stay: the next boot does the bootstrap again.

Without --yes nothing is changed.`,
		example: "  gpuworker-guest reset\n  gpuworker-guest reset --yes",
		flags: func(t *Tool, flags *flag.FlagSet) func(context.Context, []string) error {
			yes := flags.Bool("yes", false, "do it")
			return func(ctx context.Context, _ []string) error {
				return t.act(ctx, func() ([]action.Action, error) { return t.guest().Reset(), nil }, *yes)
			}
		},
	}
}

// act prints actions, or does them with yes.
func (t *Tool) act(ctx context.Context, plan func() ([]action.Action, error), yes bool) error {
	if !yes {
		actions, err := plan()
		if err != nil {
			return err
		}
		t.printActions(actions, "would ")
		term.Fprintf(t.Out, "\nNothing was changed; --yes does it.\n")
		return nil
	}
	return t.locked(func() error {
		actions, err := plan()
		if err != nil {
			return err
		}
		for i, a := range actions {
			if err := a.Do(ctx, t.files, t.runner); err != nil {
				t.printActions(actions[:i], "")
				return &fault.Error{Kind: fault.Failed, Cause: err, Fix: "repair the cause, then run the same command again: it does the rest"}
			}
		}
		t.printActions(actions, "")
		return nil
	})
}

func (t *Tool) printActions(actions []action.Action, before string) {
	if len(actions) == 0 {
		term.Fprintf(t.Out, "There is nothing to do.\n")
		return
	}
	table := term.NewTable("change", "why")
	for _, a := range actions {
		table.Add(before+a.String(), a.Why)
	}
	t.print.Table(table)
}
