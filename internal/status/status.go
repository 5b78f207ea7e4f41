package status

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/planner"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// State is the state of a worker.
type State string

// The states.
const (
	Running    State = "Running"
	Parked     State = "Parked"     // stopped on purpose
	Stopped    State = "Stopped"    // stopped, but should run
	Incomplete State = "Incomplete" // an earlier run did not finish
	Cloning    State = "Cloning"    // by an earlier run or another engine
	Missing    State = "Missing"    // declared, without VM and claim
	Refused    State = "Refused"    // declared, without a VM, and it cannot be made
	ClaimOnly  State = "ClaimOnly"  // not declared, and only its claim is left
)

// Row is one worker, declared or existing or both.
type Row struct {
	Pool        string `json:"pool"`
	KubeCluster string `json:"kubeCluster,omitempty"` // "" when it joins none
	Lifecycle   string `json:"lifecycle"`
	Worker      string `json:"worker"`
	State       State  `json:"state"`

	Host      string      `json:"host,omitempty"`
	Card      pci.CardRef `json:"card,omitzero"` // zero for a plain worker
	Model     string      `json:"model,omitempty"`
	VM        string      `json:"vm,omitempty"`
	UUID      string      `json:"uuid,omitempty"` // of the VM
	Addresses []string    `json:"addresses,omitempty"`

	// Networks are the network cards of the VM, with their MACs.
	Networks []inventory.NIC `json:"networks,omitempty"`

	// Guest is what gpuworker-guest says; nil when it is not in the guest, or was not asked.
	Guest *Guest `json:"guest,omitempty"`

	// Note says in a few words what is wrong; "" when nothing is.
	Note string `json:"note,omitempty"`
	// Next is the next command to run; "" when there is nothing to do.
	Next string `json:"next,omitempty"`

	Conditions []Condition `json:"conditions"`
}

// Condition is a condition in the form of Kubernetes.
type Condition struct {
	Type    string `json:"type"`
	Status  Status `json:"status"`
	Reason  string `json:"reason"` // one word, for programs
	Message string `json:"message,omitempty"`
}

// Status is the status of a condition.
type Status string

// The statuses, as Kubernetes writes them.
const (
	True    Status = "True"
	False   Status = "False"
	Unknown Status = "Unknown"
)

// The types of conditions, in order. When one of them is not True, the later ones are
// not evaluated or are not True either.
const (
	Declared   = "Declared"   // a document declares the worker
	Claimed    = "Claimed"    // its card is claimed for it; GPU workers only
	Created    = "Created"    // it has a VM that is proven to be ours
	Attached   = "Attached"   // its card is attached to the VM; GPU workers only
	Powered    = "Running"    // the VM runs
	AgentReady = "AgentReady" // the guest agent answers
	GuestReady = "GuestReady" // gpuworker-guest found everything as ordered; only where it is used
	AsDeclared = "AsDeclared" // nothing differs from the document
)

// Report reports all workers that are declared or ours: those of declared pools in the
// order of the documents, then the undeclared ones.
func Report(in planner.Input, guests Guests) []Row {
	in.Request = plan.Request{Verb: plan.ApplyDocuments}
	declared, orphans := planner.Overview(in)
	var rows []Row
	reported, reasons := map[rowKey]bool{}, refusals{}
	for _, p := range []*plan.Plan{declared, orphans} {
		for i := range p.Pools {
			pool := &p.Pools[i]
			for j := range pool.Workers {
				row := reasons.rowOf(in.Snapshot, guests, pool, &pool.Workers[j])
				if key := row.key(); !reported[key] {
					reported[key] = true
					rows = append(rows, row)
				}
			}
		}
	}
	return rows
}

// rowKey identifies a row: there is one for each worker and VM.
type rowKey struct{ pool, kubeCluster, worker, vm string }

func (r *Row) key() rowKey { return rowKey{r.Pool, r.KubeCluster, r.Worker, r.VM} }

// refusals caches the text for each list of refusals. Workers with the same
// requirements may share a list of thousands: one for each card of a large world.
type refusals map[*finding.Finding]string // by the first finding of the list

func (r refusals) of(w *plan.Worker) string {
	if len(w.Refusals) == 0 {
		return ""
	}
	first := &w.Refusals[0]
	if _, known := r[first]; !known {
		r[first] = firstProblem(w.Refusals)
	}
	return r[first]
}

// subject is one worker while its row is made.
type subject struct {
	worker  *plan.Worker
	refused string        // why it is refused
	vm      *inventory.VM // a VM that is proven to be ours, or our unmarked clone; else nil
	claim   *inventory.Claim
}

func (r refusals) rowOf(world *inventory.Snapshot, guests Guests, pool *plan.Pool, w *plan.Worker) Row {
	s := subject{worker: w, refused: r.of(w)}
	if w.Ref != nil {
		s.vm = world.VM(w.Ref.ID)
	}
	if !w.Card.IsZero() {
		if claim := world.Claim(w.Card); claim != nil && claim.Problem == "" && claim.Record.Worker == w.Name && (!claim.Releasing || w.Undeclared) {
			s.claim = claim
		}
	}
	g := s.guest(guests)
	row := Row{
		Pool: pool.Name, KubeCluster: pool.KubeCluster, Lifecycle: pool.Lifecycle,
		Worker: w.Name, State: s.state(), Guest: g, Next: cmp.Or(s.next(), s.acceptHint(g)), Note: s.note(), Conditions: s.conditions(g),
	}
	if g != nil && row.Note == "" && s.vm.Running {
		if c := s.guestReady(g); c.Status != True {
			row.Note = c.Message
		}
	}
	if s.vm != nil || s.claim != nil {
		row.Host, row.VM, row.Model = w.Host, w.VM, w.Model
		if w.Ref != nil { // for a worker that will be replaced, the present place
			row.Host, row.VM, row.UUID = cmp.Or(w.Ref.Host, w.Host), w.Ref.ID, w.Ref.UUID
		}
		row.Card = w.Card
	}
	if s.vm != nil {
		row.Addresses, row.Networks = s.vm.Addresses, s.vm.Machine.NICs
	}
	return row
}

// StateOf returns the state of a worker of a plan. vm is its VM; nil when it has none.
func StateOf(w *plan.Worker, vm *inventory.VM) State {
	s := subject{worker: w, vm: vm}
	return s.state()
}

func (s *subject) state() State {
	switch {
	case s.vm == nil && s.worker.Action == plan.Wait:
		return Cloning
	case s.vm == nil && s.claim != nil && s.worker.Undeclared:
		return ClaimOnly
	case s.vm == nil && s.claim != nil && s.worker.Action == plan.Create:
		return Incomplete
	case s.vm == nil && s.worker.Action == plan.Refuse:
		return Refused
	case s.vm == nil:
		return Missing
	case s.vm.Running:
		return Running
	case s.vm.Parked():
		return Parked
	case s.worker.Action == plan.Finish:
		return Incomplete
	}
	return Stopped
}

// note says what is wrong.
func (s *subject) note() string {
	w := s.worker
	switch {
	case w.Action == plan.Keep:
		return firstProblem(w.Notes)
	case w.Action == plan.Refuse:
		return s.refused
	case len(w.Changes) > 0:
		var words []string
		for _, c := range w.Changes {
			words = append(words, c.String())
		}
		return strings.Join(words, "; ")
	case w.Action == plan.Start:
		return "it should run"
	case w.Action == plan.Create && s.claim == nil:
		return "not made yet"
	case w.Action == plan.Create:
		return "it has a claim on the card, but no VM yet"
	}
	return w.Reason
}

func firstProblem(findings []finding.Finding) string {
	text, more := "", 0
	for _, f := range findings {
		switch {
		case !f.Blocks():
		case text == "":
			text = fmt.Sprintf("%s (%s)", f.Reason, f.ID)
		default:
			more++
		}
	}
	if more > 0 {
		text += fmt.Sprintf(", and %d more: gpuworker plan shows all", more)
	}
	return text
}

// next is the next command to run.
func (s *subject) next() string {
	w := s.worker
	switch {
	case w.Hint != "":
		return w.Hint
	case w.Action == plan.Refuse:
		return "gpuworker plan"
	case w.Action == plan.Release:
		return shell.Command("gpuworker delete %s", w.Name)
	case w.Action == plan.Keep && s.vm != nil && s.vm.Parked() && !s.vm.Running:
		return shell.Command("gpuworker unpark %s", w.Name)
	case w.Action == plan.Wait, len(w.Steps) > 0:
		return "gpuworker apply"
	}
	return ""
}
