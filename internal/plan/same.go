package plan

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

// Same reports whether two plans decide the same: which workers, what happens to
// them, where, to which VM, by which steps, and what is written. Reasons and
// advice may differ. When
// they are not the same it says how, in words for an operator.
func Same(a, b *Plan) (bool, []string) {
	var differences []string
	before, after := decisions(a), decisions(b)
	is, was := byKey(after), byKey(before)
	for _, d := range before {
		other, ok := is[d.key]
		switch {
		case !ok:
			differences = append(differences, fmt.Sprintf("%s: is not in the plan any more", d.key.worker))
		case !d.same(other):
			differences = append(differences, fmt.Sprintf("%s: %s", d.key.worker, strings.Join(d.unlike(other), "; ")))
		}
	}
	for _, d := range after {
		if _, ok := was[d.key]; !ok {
			differences = append(differences, fmt.Sprintf("%s: is new in the plan, to %s", d.key.worker, d.action))
		}
	}
	if a.Blocked == "" != (b.Blocked == "") {
		differences = append(differences, "one worker is refused now, or no longer: all or nothing decides differently")
	}
	return len(differences) == 0, differences
}

// decision is the part of a worker's plan that counts.
type decision struct {
	key    decisionKey
	action Action
	where  string // host, card and VM
	ref    string
	steps  []StepKind
	wants  []Change
	writes writes

	refusal string // why, which may differ
}

func (d decision) same(other decision) bool {
	d.refusal, other.refusal = "", ""
	return reflect.DeepEqual(d, other)
}

// writes is what the steps write.
type writes struct {
	desired *inventory.Machine
	record  inventory.Record
	source  Source
}

func writesOf(w *Worker) writes {
	if len(w.Steps) == 0 {
		return writes{}
	}
	all := writes{desired: w.Desired}
	if w.Record != nil {
		all.record = *w.Record
		all.record.By, all.record.Unknown, all.record.Version = "", "", 0
		if w.Action == Create || w.Action == Replace { // a proposal, until the VM is made
			all.record.VM, all.record.UUID = "", ""
		}
	}
	if w.Source != nil {
		all.source = *w.Source
	}
	return all
}

// decisionKey tells workers apart; nth those with one name.
type decisionKey struct {
	pool, kubeCluster, worker string
	nth                       int
}

func decisions(p *Plan) []decision {
	var all []decision
	for _, pool := range p.Pools {
		seen := map[string]int{}
		for i := range pool.Workers {
			w := &pool.Workers[i]
			d := decision{
				key: decisionKey{pool.Name, pool.KubeCluster, w.Name, seen[w.Name]}, action: w.Action,
				where: strings.TrimSpace(w.Host + " " + slotText(w.Slot)), steps: w.Steps, wants: w.Changes, writes: writesOf(w),
			}
			seen[w.Name]++
			if len(w.Refusals) > 0 {
				d.refusal = w.Refusals[0].Reason
			}
			if w.Ref != nil {
				d.ref = fmt.Sprintf("VM %s on %s (%s)", w.Ref.ID, w.Ref.Host, w.Ref.UUID)
			}
			all = append(all, d)
		}
	}
	return all
}

// byKey finds decisions; the first of several with one key.
func byKey(all []decision) map[decisionKey]decision {
	found := make(map[decisionKey]decision, len(all))
	for _, d := range slices.Backward(all) {
		found[d.key] = d
	}
	return found
}

func (d decision) unlike(other decision) []string {
	var words []string
	say := func(what string, was, is any) {
		if !reflect.DeepEqual(was, is) {
			words = append(words, fmt.Sprintf("%s was %v, is now %v", what, was, is))
		}
	}
	say("what happens", d.action, other.action)
	if d.action != other.action && other.refusal != "" {
		words[0] += " (" + other.refusal + ")"
	}
	say("the place", orNothing(d.where), orNothing(other.where))
	say("the VM", orNothing(d.ref), orNothing(other.ref))
	if d.action == other.action {
		say("the steps", stepWords(d.steps), stepWords(other.steps))
		say("the changes", changeWords(d.wants), changeWords(other.wants))
		if len(words) == 0 && !reflect.DeepEqual(d.writes, other.writes) {
			words = append(words, "what would be written is not the same any more")
		}
	}
	return words
}

func stepWords(steps []StepKind) string {
	var words []string
	for _, s := range steps {
		words = append(words, string(s))
	}
	return orNothing(strings.Join(words, ", "))
}

func changeWords(changes []Change) string {
	var words []string
	for _, c := range changes {
		words = append(words, c.String())
	}
	return orNothing(strings.Join(words, ", "))
}
