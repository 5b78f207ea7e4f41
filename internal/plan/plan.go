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
	// Fingerprint is a short hash of everything that the plan depends on.
	Fingerprint string `json:"fingerprint"`
	// Blocked says why apply does nothing: a worker is refused, and all or nothing was
	// requested. "" otherwise.
	Blocked string `json:"blocked,omitempty"`

	Pools []Pool `json:"pools"`
	// Absent are the names of the request that no worker has.
	Absent []Absent `json:"absent,omitempty"`
	// Findings are about the world as a whole, not about single workers.
	Findings []finding.Finding `json:"findings,omitempty"`
}

// Absent is a name of the request that no worker has: it is not declared, or it is
// declared but has no VM and no claim that the command could change.
type Absent struct {
	Name string   `json:"name"`
	Why  string   `json:"why"`
	Near []string `json:"near,omitempty"` // similar names of workers

	// Namesake reports whether a VM has this name that is not a declared worker.
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

// Action is what happens to a worker, in one word.
type Action string

// The actions.
const (
	Keep    Action = "keep"    // nothing to do
	Create  Action = "create"  // there is no VM yet
	Finish  Action = "finish"  // the VM is incomplete: do the remaining steps
	Update  Action = "update"  // change in place; the VM keeps running
	Restart Action = "restart" // change in place, with a stop and a start
	Start   Action = "start"   // the VM is stopped and should run
	Replace Action = "replace" // destroy and create
	Destroy Action = "destroy" // destroy the VM
	Park    Action = "park"    // stop and keep the card
	Unpark  Action = "unpark"
	Adopt   Action = "adopt"   // take over an existing VM
	Disown  Action = "disown"  // remove our marks from a VM that stays as it is
	Release Action = "release" // only a claim is left: release it
	Refuse  Action = "refuse"  // cannot be done; Refusals say why
	Hold    Action = "hold"    // differs, and waits for a person; Hint says for what
	Wait    Action = "wait"    // another run or task works on it
)

// Worker is what happens to one worker, and why.
type Worker struct {
	Name   string `json:"name"`
	Action Action `json:"action"`

	// Networks are the network cards of the existing VM, with their MACs.
	Networks []inventory.NIC `json:"networks,omitempty"`

	Host  string      `json:"host,omitempty"`
	Card  pci.CardRef `json:"card,omitzero"`   // zero for a plain worker
	Model string      `json:"model,omitempty"` // "Tesla T4"
	GPUID pci.ID      `json:"gpuID,omitzero"`  // of the card; zero when it cannot be seen
	VM    string      `json:"vm,omitempty"`    // identifier of the existing or the planned VM

	// Ref is the existing VM; nil when there is none. For a clone that is not marked
	// yet it has the UUID that the first step writes.
	Ref *inventory.VMRef `json:"ref,omitempty"`
	// Awaits is the running clone that apply waits for, when Action is Wait; nil when
	// apply does not wait and a person has to run it again later.
	Awaits *inventory.VMRef `json:"awaits,omitempty"`
	// Undeclared reports whether the worker is not, or no longer, declared.
	Undeclared bool `json:"undeclared,omitempty"`
	// Reason says why this host and card, or what was found.
	Reason string `json:"reason,omitempty"`
	// Hint is the next command when a person must decide.
	Hint string `json:"hint,omitempty"`
	// Changes are the differences between declared and observed.
	Changes []Change `json:"changes,omitempty"`
	// Refusals say for each candidate host and card why it is refused.
	Refusals []finding.Finding `json:"refusals,omitempty"`
	// Notes are findings that do not stop the worker.
	Notes []finding.Finding `json:"notes,omitempty"`

	// Steps are what apply does, in order.
	Steps []StepKind `json:"steps,omitempty"`
	// Desired is the VM after the steps: as declared, except for changes that wait for
	// a person.
	Desired *inventory.Machine `json:"desired,omitempty"`
	// Record is the record to write into note and claim. VM and UUID are those of the
	// existing VM. For a new VM, UUID is empty and VM is a proposal, "" where the
	// hypervisor chooses identifiers.
	Record *inventory.Record `json:"record,omitempty"`
	// Source is the template to clone.
	Source *Source `json:"source,omitempty"`
	// Claimed is the worker's present claim on its card; nil when there is none.
	Claimed *inventory.Record `json:"claimed,omitempty"`
}

// Source is the template of a new VM and how it is cloned.
type Source struct {
	Template string `json:"template"` // its name
	VM       string `json:"vm"`
	Host     string `json:"host"` // where the template is
	Full     bool   `json:"full"`
	Storage  string `json:"storage,omitempty"` // for the disks of a full clone

	// TargetStorage is the storage that the clone is written to, and TargetHost its
	// host, "" when hosts share it. Parallel clones to one storage are limited.
	TargetStorage string `json:"targetStorage,omitempty"`
	TargetHost    string `json:"targetHost,omitempty"`
}

// When says when a change takes effect.
type When string

// The classes of changes.
const (
	Live        When = "live"         // at once
	NextBoot    When = "next boot"    // written now, used by the guest when it boots
	NeedsStop   When = "stop/start"   // the VM must be stopped and started
	NeedsRemake When = "replace only" // cannot be changed in place
)

// Change is one difference between declared and observed.
type Change struct {
	Field string `json:"field"` // as in the document, "machine.memory"
	From  string `json:"from"`
	To    string `json:"to"`
	When  When   `json:"when"`
	// Written reports whether the change is pending: the configuration has it already,
	// but the running VM does not.
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
	StepSeed      StepKind = "seed"      // give the VM the data for cloud-init
	StepStart     StepKind = "start"     //
	StepAgent     StepKind = "agent"     // wait until the guest agent answers
	StepDeliver   StepKind = "deliver"   // write gpuworker-guest and its orders into the guest
	StepBootstrap StepKind = "bootstrap" // wait until the guest is as ordered
	StepOrders    StepKind = "orders"    // give the guest its present orders
	StepExchange  StepKind = "exchange"  // replace the seed by one without secrets
	StepRecord    StepKind = "record"    // record what was proven of the guest

	StepUnpark    StepKind = "unpark"    // remove the parked tag
	StepPark      StepKind = "park"      // add the parked tag
	StepAdopt     StepKind = "adopt"     // write our record into an existing VM
	StepDisown    StepKind = "disown"    // remove record, mark and claim from a VM
	StepShutdown  StepKind = "shutdown"  // shut down, or power off if that fails
	StepUnprotect StepKind = "unprotect" // prove identity and allow the removal
	StepUnseed    StepKind = "unseed"    // remove the seeds from the storage
	StepDestroy   StepKind = "destroy"
	StepRelease   StepKind = "release" // release the claim on the card
	// StepReplaced records in the VM that the replace which made it is finished.
	StepReplaced StepKind = "replaced"
	// StepSettle waits for a running clone that may become the worker. After that the
	// worker is planned again.
	StepSettle StepKind = "settle"
)

// Summary counts the workers of a plan by action.
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

// Summary counts the workers by action.
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

// Block removes all steps; the rest of the plan stays, to be shown.
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

// AsDeclared reports whether the world is as declared: nothing to do, nothing
// refused, nothing held.
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
