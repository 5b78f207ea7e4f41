package plan

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/term"
)

// Verb is what a person asks for.
type Verb string

// The verbs.
const (
	ApplyDocuments Verb = "apply"   // bring the world to the documents
	ReplaceWorkers Verb = "replace" // destroy the named workers and make them again
	DeleteWorkers  Verb = "delete"  // destroy the named workers and release their cards
	ParkWorkers    Verb = "park"    // stop the named workers and keep their cards
	UnparkWorkers  Verb = "unpark"  // start the named parked workers
	AdoptVM        Verb = "adopt"   // take an existing VM over as the named worker
	DisownWorkers  Verb = "disown"  // remove our marks from the named workers' VMs, which stay as they are
	ReleaseOrphans Verb = "orphans" // release claims that have no VM
)

// Request is what a plan is made for. It is data: the same request, documents and
// world make the same plan in every process.
//
// A replace has several steps, and its command is run again when it was interrupted.
// So the record of the new VM names the VM that it replaces, as unfinished until the
// last step. While it is unfinished, the command finishes that replace and destroys
// nothing.
type Request struct {
	Verb    Verb     `json:"verb"`
	Workers []string `json:"workers,omitempty"` // by name; none for apply and orphans

	// UUIDs are the VMs that a replace is to destroy, one for each worker; nil means
	// the present VMs. With UUIDs the command can be repeated safely: when such a VM is
	// gone, nothing is destroyed.
	UUIDs []string `json:"uuids,omitempty"`
	// VM is the identifier of the VM to adopt.
	VM string `json:"vm,omitempty"`

	// AllowRestart lets running semi-persistent workers be stopped and started.
	AllowRestart bool `json:"allowRestart,omitempty"`
	// AllOrNothing makes the plan do nothing when a worker is refused.
	AllOrNothing bool `json:"allOrNothing,omitempty"`
	// KeepRecent keeps VMs that a replace made less than RecentReplace seconds before
	// Now, unless their UUID is given: a script that retries a replace does not mean
	// the new VM.
	KeepRecent bool `json:"keepRecent,omitempty"`
	// Now is when a replace was planned, in RFC 3339. The engine sets it.
	Now string `json:"now,omitempty"`
}

// RecentReplace is how long, in seconds, the VM that a replace made is protected from
// another replace; see KeepRecent.
const RecentReplace = 3600

// ByName reports whether the request names workers, on whichever hypervisor they are.
func (r Request) ByName() bool {
	return r.Verb == ReplaceWorkers || r.Verb == DeleteWorkers || r.Verb == ParkWorkers || r.Verb == UnparkWorkers || r.Verb == DisownWorkers
}

// uuidForm is the form of the UUID of a VM.
var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// Check returns an error when the request does not have exactly the fields that its
// verb needs. A request that is read from a file may have anything.
func (r Request) Check() error {
	if r.fits() {
		return nil
	}
	return &fault.Error{
		Kind: fault.Invalid, Doing: "plan",
		Why: fmt.Sprintf("the request is not valid: verb %q with %s, VM %q and %s", r.Verb, term.Count(len(r.Workers), "worker"), r.VM, term.Count(len(r.UUIDs), "UUID")),
		Fix: "write a new plan file with gpuworker plan -o json",
	}
}

func (r Request) fits() bool {
	malformed := func(uuid string) bool { return !uuidForm.MatchString(uuid) }
	switch {
	case len(r.UUIDs) > 0 && (r.Verb != ReplaceWorkers || len(r.UUIDs) != len(r.Workers) || slices.ContainsFunc(r.UUIDs, malformed)):
		return false
	case (r.VM != "") != (r.Verb == AdoptVM):
		return false
	case r.Verb == AdoptVM:
		return len(r.Workers) == 1
	}
	return r.ByName() == (len(r.Workers) > 0) && (r.ByName() || r.Verb == ApplyDocuments || r.Verb == ReleaseOrphans)
}
