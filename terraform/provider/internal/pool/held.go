package pool

import (
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/worker"
)

// held refuses changes of the configuration that the engine would hold, and warns of such
// changes that were made outside of Terraform.
func (p *planner) held(seen *engine.Decided) {
	const why = "semi-persistent, and this change cannot be made while the VM runs: "
	known := p.was.driftOf(seen.Name)
	for _, c := range seen.Changes {
		switch {
		case !worker.IsHeld(seen, c):
		case slices.Contains(known, c.String()):
			p.news.warn("Workers of pool "+p.name+" differ from the configuration", c.String(), seen.Hint, seen.Name)
		case c.When == plan.NeedsRemake:
			p.news.fail(p.Cause(c), "Workers of pool "+p.name+" would have to be replaced", why+c.String(), "undo the change; or replace the VMs deliberately:", seen.Name)
			p.news.also(shell.Command("gpuworker replace %s --vm %s", seen.Name, seen.Ref.UUID))
		default:
			p.news.fail(p.Cause(c), "Workers of pool "+p.name+" would have to be restarted", why+c.String(), "set allow_restart = true, or undo the change", seen.Name)
		}
	}
	if len(seen.Changes) == 0 && seen.Action == plan.Hold {
		p.news.warn("Workers of pool "+p.name+" wait for a person", seen.Reason, seen.Hint, seen.Name)
	}
}

// undeclared plans a worker that is not, or no longer, declared.
func (p *planner) undeclared(seen *engine.Decided) {
	switch {
	case seen.VM == nil: // only a claim
		p.news.warn("Workers of pool "+p.name+" are not declared", seen.Reason, seen.Hint, seen.Name)
		p.drift = append(p.drift, differences(seen, true)...)
	case p.was == nil:
		p.news.fail(path.Empty(), "Workers of pool "+p.name+" exist and are not declared", "the pool is not in the state, so they are not destroyed",
			"declare them, or delete them first: gpuworker delete NAME", seen.Name)
	case seen.Action == plan.Destroy:
		p.news.warn("Workers of pool "+p.name+" are destroyed", "no longer declared", "", seen.Name)
	case p.was.mayDelete(seen):
		p.news.warn("Workers of pool "+p.name+" are destroyed", "no longer declared, and named in allow_destroy_uuids", "", seen.Name)
		p.ending = append(p.ending, vm{seen.Name, seen.Ref.UUID})
	case seen.Action == plan.Wait, slices.Contains(p.was.driftOf(seen.Name), seen.Reason):
		p.news.warn("Workers of pool "+p.name+" are not declared", seen.Reason, seen.Hint, seen.Name)
		p.keep(seen)
	default:
		p.ending = append(p.ending, vm{seen.Name, seen.Ref.UUID})
	}
}

// refuseEnding refuses to remove semi-persistent workers that the state does not allow to
// destroy.
func (p *planner) refuseEnding() {
	var missing []string
	for _, one := range p.ending {
		if !slices.Contains(p.was.allowed, one.uuid) {
			missing = append(missing, one.String())
		}
	}
	if len(missing) == 0 || p.nameless {
		return // without a name, allowing it would not help
	}
	at := path.Empty()
	for _, name := range []string{"names", "replicas", "gpus"} {
		if !p.Attributes[name].IsNull() {
			at = path.Root(name)
		}
	}
	p.news.fail(at, "Workers of pool "+p.name+" would be destroyed",
		"no longer declared; semi-persistent workers are destroyed only when a person names their VMs",
		"declare them again; or first apply "+allowing(p.ending)+" with the workers still declared, and then this change; without Terraform: "+deleting(p.ending),
		missing...)
}

// refuse adds the refusals of a worker, at the attribute that causes them if it is known.
func (p *planner) refuse(seen *engine.Decided) {
	p.nameless = p.nameless || !seen.Undeclared && slices.ContainsFunc(seen.Refusals, func(f finding.Finding) bool { return f.ID == finding.VMNameTaken })
	p.news.fail(p.causeOf(seen.Refusals), "Workers of pool "+p.name+" are refused", diags.Findings(seen.Refusals), "", seen.Name)
}

// unchanged plans a pool whose configuration is as the state, and reports whether it stays
// as it is: the engine refuses workers that are in the state, as when their host is off.
// This does not stop the plan of other resources.
func (p *planner) unchanged() (stays bool) {
	var refused []*engine.Decided
	for seen := range firstOfEach(p.decision) {
		_, known := p.lastOf(seen.Name)
		switch {
		case seen.Action != plan.Refuse:
		case !known: // it is wanted, and cannot be made
			return false
		default:
			refused = append(refused, seen)
		}
	}
	if len(refused) == 0 {
		return false
	}
	for _, seen := range refused {
		p.news.warn("Nothing is changed in pool "+p.name+" now", diags.Findings(seen.Refusals), "", seen.Name)
	}
	p.news.tell(p.to)
	return true
}

// causeOf is the attribute that all of these refusals are about: the entry of gpus with
// their card, or the attribute of their kind; empty when they are about different ones.
func (p *planner) causeOf(refusals []finding.Finding) path.Path {
	at := p.attributeOf(refusals[0])
	for _, f := range refusals[1:] {
		if !p.attributeOf(f).Equal(at) {
			return path.Empty()
		}
	}
	return at
}

func (p *planner) attributeOf(f finding.Finding) path.Path {
	if name, known := worker.FieldOf(f); known {
		if p.Attributes[name].IsNull() {
			return path.Empty()
		}
		return path.Root(name)
	}
	for _, g := range p.spec.GPUs {
		if ref, named := g.Place(); named && ref == (pci.CardRef{Host: f.Where.Host, Slot: f.Where.Card.Slot}) {
			return path.Root("gpus")
		}
	}
	return path.Empty()
}
