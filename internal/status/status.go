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

// State is how a worker is, in one word or two.
type State string

// The states.
const (
	Running    State = "Running"
	Parked     State = "Parked"     // stopped on purpose
	Stopped    State = "Stopped"    // stopped, and should run
	Incomplete State = "Incomplete" // an earlier run did not finish
	Cloning    State = "Cloning"    // by an earlier run or another engine
	Missing    State = "Missing"    // declared, and nothing is there
	Refused    State = "Refused"    // declared, nothing is there, and it cannot be made
	ClaimOnly  State = "ClaimOnly"  // nothing but a claim is left
)

// Row is one worker, declared or ours or both.
type Row struct {
	Pool        string `json:"pool"`
	KubeCluster string `json:"kubeCluster,omitempty"` // "" when it joins nothing
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

	// Note says in a few words what is not as it should be; "" when all is well.
	Note string `json:"note,omitempty"`
	// Next is the command that helps; "" when there is nothing to do.
	Next string `json:"next,omitempty"`

	Conditions []Condition `json:"conditions"`
}

// Condition is one thing that holds, does not, or is not known, in the form of
// Kubernetes.
type Condition struct {
	Type    string `json:"type"`
	Status  Status `json:"status"`
	Reason  string `json:"reason"` // one word, for machines
	Message string `json:"message,omitempty"`
}

// Status is what is known of a condition.
type Status string

// The statuses, as Kubernetes writes them.
const (
	True    Status = "True"
	False   Status = "False"
	Unknown Status = "Unknown"
)

// The types of conditions, from the bottom. What is above one that is not True
// was not evaluated, or does not hold either.
const (
	Declared   = "Declared"   // a document asks for the worker
	Claimed    = "Claimed"    // its card is reserved for it; GPU workers only
	Created    = "Created"    // it has a VM that is proven to be ours
	Attached   = "Attached"   // its card is in the VM; GPU workers only
	Powered    = "Running"    // the VM runs
	AgentReady = "AgentReady" // the guest agent answers
	AsDeclared = "AsDeclared" // nothing differs from the document
)

// Report says how every worker is that is declared or ours: those of declared
// pools in the order of the documents, then those that no document declares.
func Report(in planner.Input) []Row {
	in.Request = plan.Request{Verb: plan.ApplyDocuments}
	declared, orphans := planner.Overview(in)
	var rows []Row
	told, reasons := map[rowKey]bool{}, refusals{}
	for _, p := range []*plan.Plan{declared, orphans} {
		for i := range p.Pools {
			pool := &p.Pools[i]
			for j := range pool.Workers {
				row := reasons.rowOf(in.Snapshot, pool, &pool.Workers[j])
				if key := row.key(); !told[key] {
					told[key] = true
					rows = append(rows, row)
				}
			}
		}
	}
	return rows
}

// rowKey tells workers and VMs apart: there is one row for each.
type rowKey struct{ pool, kubeCluster, worker, vm string }

func (r *Row) key() rowKey { return rowKey{r.Pool, r.KubeCluster, r.Worker, r.VM} }

// refusals are the words for the reasons why workers are refused. Workers that ask
// for the same may share thousands of reasons: one for each card of a large world.
type refusals map[*finding.Finding]string // by the first of them

func (r refusals) of(w *plan.Worker) string {
	if len(w.Refusals) == 0 {
		return ""
	}
	first := &w.Refusals[0]
	if _, told := r[first]; !told {
		r[first] = firstProblem(w.Refusals)
	}
	return r[first]
}

// subject is one worker while its row is made.
type subject struct {
	worker  *plan.Worker
	refused string        // why
	vm      *inventory.VM // proven to be ours, or our unmarked clone; else nil
	claim   *inventory.Claim
}

func (r refusals) rowOf(world *inventory.Snapshot, pool *plan.Pool, w *plan.Worker) Row {
	s := subject{worker: w, refused: r.of(w)}
	if w.Ref != nil {
		s.vm = world.VM(w.Ref.ID)
	}
	if !w.Card.IsZero() {
		if claim := world.Claim(w.Card); claim != nil && claim.Problem == "" && claim.Record.Worker == w.Name && (!claim.Releasing || w.Undeclared) {
			s.claim = claim
		}
	}
	row := Row{
		Pool: pool.Name, KubeCluster: pool.KubeCluster, Lifecycle: pool.Lifecycle,
		Worker: w.Name, State: s.state(), Next: s.next(), Note: s.note(), Conditions: s.conditions(),
	}
	if s.vm != nil || s.claim != nil {
		row.Host, row.VM, row.Model = w.Host, w.VM, w.Model
		if w.Ref != nil { // a worker that is going to be replaced: where it is, not where it will be
			row.Host, row.VM, row.UUID = cmp.Or(w.Ref.Host, w.Host), w.Ref.ID, w.Ref.UUID
		}
		row.Card = w.Card
	}
	if s.vm != nil {
		row.Addresses, row.Networks = s.vm.Addresses, s.vm.Machine.NICs
	}
	return row
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

// note says what is not as it should be.
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
		return "only its claim on the card is there"
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

// next is the command that helps.
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
