package plan

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/term"
)

// Verb is what a person asks for.
type Verb string

// The verbs.
const (
	ApplyDocuments Verb = "apply"   // create and change workers so that they match the documents
	ReplaceWorkers Verb = "replace" // destroy the named workers and make them again
	DeleteWorkers  Verb = "delete"  // destroy the named workers and release their cards
	ParkWorkers    Verb = "park"    // stop the named workers and keep their cards
	UnparkWorkers  Verb = "unpark"  // start the named parked workers
	AdoptVM        Verb = "adopt"   // take an existing VM over as the named worker
	AcceptGPU      Verb = "accept"  // record another GPU for the named worker
	DisownWorkers  Verb = "disown"  // remove our marks from the named workers' VMs, which stay as they are
	ReleaseOrphans Verb = "orphans" // release claims that have no VM
)

// Request is what a plan is made for, the time included. So the same request, documents
// and world make the same plan in every process.
//
// A replace may be interrupted between its steps, and then a person runs the same command
// again. To recognize this, the record of the new VM contains the UUID of the old VM until
// the last step. While it contains that UUID, the command finishes the replace and does
// not destroy the new VM.
type Request struct {
	Verb    Verb     `json:"verb"`
	Workers []string `json:"workers,omitempty"` // by name; none for apply and orphans

	// UUIDs are the VMs that a replace is to destroy, one for each worker; nil means
	// the present VMs. With UUIDs the command can be repeated safely: when such a VM is
	// gone, nothing is destroyed.
	UUIDs []string `json:"uuids,omitempty"`
	// VM is the identifier of the VM to adopt.
	VM string `json:"vm,omitempty"`

	// GPU is the identity of the GPU to accept, "GPU-…".
	GPU string `json:"gpu,omitempty"`

	// AllowRestart lets running semi-persistent workers be stopped and started.
	AllowRestart bool `json:"allowRestart,omitempty"`
	// AllOrNothing makes the plan do nothing when a worker is refused.
	AllOrNothing bool `json:"allOrNothing,omitempty"`
	// KeepRecent keeps VMs that a replace made less than RecentReplace seconds before
	// Now, unless their UUID is given. Otherwise a script that retries a replace would
	// destroy the VM that it has just made.
	KeepRecent bool `json:"keepRecent,omitempty"`
	// Now is when a replace was planned, in RFC 3339. The engine sets it.
	Now string `json:"now,omitempty"`
}

// RecentReplace is how long, in seconds, the VM that a replace made is protected from
// another replace; see KeepRecent.
const RecentReplace = 3600

// ByName reports whether the verb finds its VMs by worker name, on whichever hypervisor
// they are. Adopt does not: it finds its VM by the identifier in VM, and Workers has the
// name that the VM gets.
func (r Request) ByName() bool {
	return r.Verb == ReplaceWorkers || r.Verb == DeleteWorkers || r.Verb == ParkWorkers || r.Verb == UnparkWorkers || r.Verb == DisownWorkers || r.Verb == AcceptGPU
}

// uuidForm is the form of the UUID of a VM.
var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// IsUUID reports whether a word is the UUID of a VM, as the engine writes it.
func IsUUID(word string) bool { return uuidForm.MatchString(word) }

// IsGPU reports whether a word is the identity of a GPU, as nvidia-smi writes it.
func IsGPU(word string) bool {
	uuid, ok := strings.CutPrefix(word, "GPU-")
	return ok && IsUUID(uuid)
}

// Check returns an error when Workers, UUIDs, VM and GPU are not those that the verb needs. A
// request that is read from a file may have anything.
func (r Request) Check() error {
	problem := r.problem()
	if problem == "" {
		return nil
	}
	return &fault.Error{
		Kind: fault.Invalid, Doing: "plan", Why: "the request is not valid: " + problem,
		Fix: "write the plan file again with the command that wrote it",
	}
}

func (r Request) problem() string {
	malformed := slices.IndexFunc(r.UUIDs, func(uuid string) bool { return !IsUUID(uuid) })
	switch {
	case !r.ByName() && !slices.Contains([]Verb{ApplyDocuments, AdoptVM, ReleaseOrphans}, r.Verb):
		return fmt.Sprintf("verb: %q does not exist", r.Verb)
	case len(r.UUIDs) > 0 && r.Verb != ReplaceWorkers:
		return fmt.Sprintf("uuids: %s takes none", r.Verb)
	case len(r.UUIDs) > 0 && len(r.UUIDs) != len(r.Workers):
		return fmt.Sprintf("uuids: %d given for %s; one for each worker is needed", len(r.UUIDs), term.Count(len(r.Workers), "worker"))
	case malformed >= 0:
		return fmt.Sprintf("uuids[%d]: %q is not a UUID", malformed, r.UUIDs[malformed])
	case r.Verb == AdoptVM && (r.VM == "" || len(r.Workers) != 1):
		return "adopt needs one vm and one worker"
	case r.Verb != AdoptVM && r.VM != "":
		return fmt.Sprintf("vm: %s takes none", r.Verb)
	case r.Verb == AcceptGPU && (len(r.Workers) != 1 || !IsGPU(r.GPU)):
		return "accept needs one worker and one gpu, GPU- and a UUID in lower case"
	case r.Verb != AcceptGPU && r.GPU != "":
		return fmt.Sprintf("gpu: %s takes none", r.Verb)
	case r.ByName() && len(r.Workers) == 0:
		return fmt.Sprintf("workers: %s needs at least one", r.Verb)
	case !r.ByName() && r.Verb != AdoptVM && len(r.Workers) > 0:
		return fmt.Sprintf("workers: %s takes none", r.Verb)
	}
	return ""
}
