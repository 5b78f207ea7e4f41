package plan

import (
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Plan is what would be done on one hypervisor, as data.
type Plan struct {
	Hypervisor string `json:"hypervisor"`
	Product    string `json:"product"`
	Version    string `json:"version"`
	HostCount  int    `json:"hostCount"`
	// World is the fingerprint of everything that the plan depends on.
	World string `json:"world"`
	// Blocked says why nothing of the plan is done, though workers could be:
	// one is refused, and all or nothing was asked for. "" otherwise.
	Blocked string `json:"blocked,omitempty"`

	Pools []Pool `json:"pools"`
	// Absent are the names in the command that are of no worker.
	Absent []Absent `json:"absent,omitempty"`
	// Findings are about the world as a whole, not about one worker.
	Findings []finding.Finding `json:"findings,omitempty"`
}

// Absent is a name that a command gave and that is of no worker: none is declared
// so, or a declared one has nothing that the command could be about.
type Absent struct {
	Name string   `json:"name"`
	Why  string   `json:"why"`
	Near []string `json:"near,omitempty"` // workers with nearly the same name

	// Namesake reports whether there is a VM of this name, which is not this worker.
	Namesake bool `json:"namesake,omitempty"`
}

// Pool is the part of a plan for one WorkerPool.
type Pool struct {
	Name        string `json:"name"`
	KubeCluster string `json:"kubeCluster,omitempty"` // "" when the workers join nothing
	Lifecycle   string `json:"lifecycle"`
	Desired     int    `json:"desired"`
	Present     int    `json:"present"` // workers that have a VM of ours

	Workers []Worker `json:"workers"`
}

// Action sums up what happens to a worker.
type Action string

// The actions.
const (
	Keep    Action = "keep"    // nothing to do
	Create  Action = "create"  // there is no VM yet
	Finish  Action = "finish"  // the VM is incomplete: do the remaining steps
	Update  Action = "update"  // change in place, the VM goes on running
	Restart Action = "restart" // change in place, with a stop and a start
	Start   Action = "start"   // the VM is stopped and should run
	Replace Action = "replace" // destroy and create
	Destroy Action = "destroy" // the worker is to go
	Park    Action = "park"    // stop and keep the card
	Unpark  Action = "unpark"
	Adopt   Action = "adopt"   // take over an existing VM
	Disown  Action = "disown"  // let go of a VM that stays as it is
	Release Action = "release" // only a claim is left: give it back
	Refuse  Action = "refuse"  // cannot be done; Refusals say why
	Hold    Action = "hold"    // differs, and waits for a person: Hint says for what
	Wait    Action = "wait"    // somebody (or an earlier run) is at work on it
)

// Worker is what happens to one worker, and why.
type Worker struct {
	Name   string `json:"name"`
	Action Action `json:"action"`

	// Networks are the network cards of the VM that is there, with their MACs.
	Networks []inventory.NIC `json:"networks,omitempty"`

	Host  string      `json:"host,omitempty"`
	Card  pci.CardRef `json:"card,omitzero"`   // zero for a plain worker
	Model string      `json:"model,omitempty"` // "Tesla T4"
	VM    string      `json:"vm,omitempty"`    // of the VM that is, or that is to be

	// Ref is the VM that is there already; nil when there is none. Of a clone that
	// was not marked yet it carries the UUID that the first step gives to it.
	Ref *inventory.VMRef `json:"ref,omitempty"`
	// Awaits is the VM under way that has to be waited for, when Action is Wait; nil
	// when there is nothing to wait for but a person's next run.
	Awaits *inventory.VMRef `json:"awaits,omitempty"`
	// Undeclared reports whether no document asks for the worker any more.
	Undeclared bool `json:"undeclared,omitempty"`
	// Reason says why this host and card, or what was found.
	Reason string `json:"reason,omitempty"`
	// Hint is the next command when a person must decide.
	Hint string `json:"hint,omitempty"`
	// Changes are the differences between declared and observed.
	Changes []Change `json:"changes,omitempty"`
	// Refusals say for each candidate why it cannot be.
	Refusals []finding.Finding `json:"refusals,omitempty"`
	// Notes are findings that do not stop the worker.
	Notes []finding.Finding `json:"notes,omitempty"`

	// Steps are what apply does, in order.
	Steps []StepKind `json:"steps,omitempty"`
	// Desired is the VM as the steps leave it: as declared, but for what has to
	// wait for a person.
	Desired *inventory.Machine `json:"desired,omitempty"`
	// Record is the note and claim to write. VM and UUID are those of the VM that is
	// there; for a new one VM is a proposal, "" where the hypervisor chooses, and
	// UUID empty.
	Record *inventory.Record `json:"record,omitempty"`
	// Source is the template to clone.
	Source *Source `json:"source,omitempty"`
	// Claimed is what the claim on the worker's card says of it now; nil for nothing.
	Claimed *inventory.Record `json:"claimed,omitempty"`
}

// Source is the template of a new VM and how it is cloned.
type Source struct {
	Template string `json:"template"` // its name
	VM       string `json:"vm"`
	Host     string `json:"host"` // where the template is
	Full     bool   `json:"full"`
	Storage  string `json:"storage,omitempty"` // for the disks of a full clone

	// TargetStorage is what the clone is written to, and TargetHost its host, ""
	// when hosts share it: what must not be written to by too many at once.
	TargetStorage string `json:"targetStorage,omitempty"`
	TargetHost    string `json:"targetHost,omitempty"`
}

// When says when a change takes effect.
type When string

// The classes of changes.
const (
	Live        When = "live"         // at once
	NextBoot    When = "next boot"    // written now, seen by the guest when it boots
	NeedsStop   When = "stop/start"   // the VM must be stopped and started
	NeedsRemake When = "replace only" // cannot be changed in place
)

// Change is one difference between declared and observed.
type Change struct {
	Field string `json:"field"` // as in the document, "machine.memory"
	From  string `json:"from"`
	To    string `json:"to"`
	When  When   `json:"when"`
	// Written reports whether the configuration says so already and only the running
	// VM does not.
	Written bool `json:"written,omitempty"`
}

// StepKind is one kind of work that apply does for a worker.
type StepKind string

// The steps, in the order in which a new worker goes through them; then those
// that take one away.
const (
	StepClaim     StepKind = "claim"     // reserve the card
	StepClone     StepKind = "clone"     // copy the template
	StepConfigure StepKind = "configure" // mark as ours, set the machine, grow the disk
	StepAttach    StepKind = "attach"    // put the card into the VM
	StepStart     StepKind = "start"     //
	StepAgent     StepKind = "agent"     // wait until the guest agent answers

	StepUnpark    StepKind = "unpark"    // take the parked tag off
	StepPark      StepKind = "park"      // put the parked tag on
	StepAdopt     StepKind = "adopt"     // write our record into an existing VM
	StepDisown    StepKind = "disown"    // take record, mark and claim off a VM
	StepShutdown  StepKind = "shutdown"  // stop, gracefully first
	StepUnprotect StepKind = "unprotect" // prove identity and allow the end
	StepDestroy   StepKind = "destroy"
	StepRelease   StepKind = "release" // give the card's claim back
	// StepReplaced notes in the VM that the replace which made it is finished.
	StepReplaced StepKind = "replaced"
	// StepSettle waits for a clone that may be the worker; what is done then is for
	// a new plan to say.
	StepSettle StepKind = "settle"
)

// Summary counts the workers of a plan by what happens to them.
type Summary struct {
	Create  int `json:"create"`
	Start   int `json:"start"`
	Change  int `json:"change"`
	Restart int `json:"restart"`
	Stop    int `json:"stop"`
	Destroy int `json:"destroy"`
	Refused int `json:"refused"`
	Held    int `json:"held"`
	Keep    int `json:"keep"`
}

// Summary counts what happens.
func (p *Plan) Summary() Summary {
	var s Summary
	for worker := range p.Workers() {
		switch worker.Action {
		case Create, Finish:
			s.Create++
		case Start, Unpark:
			s.Start++
		case Update, Adopt, Disown, Release:
			s.Change++
		case Restart:
			s.Restart++
		case Park:
			s.Stop++
		case Replace:
			s.Create++
			s.Destroy++
		case Destroy:
			s.Destroy++
		case Refuse:
			s.Refused++
		case Hold, Wait:
			s.Held++
		case Keep:
			s.Keep++
		}
	}
	return s
}

// Workers yields all workers of the plan in order.
func (p *Plan) Workers() func(yield func(*Worker) bool) {
	return func(yield func(*Worker) bool) {
		for i := range p.Pools {
			for j := range p.Pools[i].Workers {
				if !yield(&p.Pools[i].Workers[j]) {
					return
				}
			}
		}
	}
}

// Block leaves the plan as it is to look at, and takes all steps away.
func (p *Plan) Block(why string) {
	p.Blocked = why
	for worker := range p.Workers() {
		worker.Steps = nil
	}
}

// Empty reports whether apply would do nothing.
func (p *Plan) Empty() bool {
	for worker := range p.Workers() {
		if len(worker.Steps) > 0 {
			return false
		}
	}
	return true
}

// AsDeclared reports whether the world is as the documents say: nothing to do,
// nothing refused, nothing held back.
func (p *Plan) AsDeclared() bool {
	for worker := range p.Workers() {
		if worker.Action != Keep {
			return false
		}
	}
	return true
}

// Destroys lists the workers whose VM would be destroyed.
func (p *Plan) Destroys() []string {
	var names []string
	for worker := range p.Workers() {
		if worker.Action == Destroy || worker.Action == Replace {
			names = append(names, worker.Name)
		}
	}
	return names
}
