package plan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

// Same reports whether two plans decide the same: which workers, what happens to them,
// where, to which VM, by which steps, and what is written. Reasons and advice may
// differ. If not, it returns the differences, in words for an operator.
func Same(a, b *Plan) (bool, []string) {
	var differences []string
	before, after := decisions(a), decisions(b)
	is, was := decisionsByKey(after), decisionsByKey(before)
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
		differences = append(differences, "a worker is now refused, or no longer refused, which changes the result of all or nothing")
	}
	return len(differences) == 0, differences
}

// decision is the part of a worker's plan that is compared.
type decision struct {
	key     decisionKey
	action  Action
	where   string // host, card and VM
	ref     string
	steps   []StepKind
	changes []Change
	writes  string // the data that the steps write, as JSON, since a plan may have been read from JSON

	refusal string // the first reason, which is not compared
}

func (d decision) same(other decision) bool {
	return d.key == other.key && d.action == other.action && d.where == other.where && d.ref == other.ref &&
		slices.Equal(d.steps, other.steps) && slices.Equal(d.changes, other.changes) && d.writes == other.writes
}

func writesOf(w *Worker) string {
	if len(w.Steps) == 0 {
		return ""
	}
	record := inventory.Record{}
	if w.Record != nil {
		record = *w.Record
		record.By, record.Unknown, record.Version = "", "", 0
		if w.Action == Create || w.Action == Replace { // a proposal, until the VM is made
			record.VM, record.UUID = "", ""
		}
	}
	text, err := json.Marshal([]any{w.Desired, record, w.Source})
	if err != nil {
		panic("plan: a decision is made of plain values: " + err.Error())
	}
	return string(text)
}

// decisionKey identifies a worker in a plan; nth counts workers with the same name.
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
				where: cmp.Or(w.Card.String(), w.Host), steps: w.Steps, changes: w.Changes, writes: writesOf(w),
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

// decisionsByKey finds decisions; the first of several with one key.
func decisionsByKey(all []decision) map[decisionKey]decision {
	found := make(map[decisionKey]decision, len(all))
	for _, d := range slices.Backward(all) {
		found[d.key] = d
	}
	return found
}

func (d decision) unlike(other decision) []string {
	var words []string
	compare := func(what string, was, is any) {
		if !reflect.DeepEqual(was, is) {
			words = append(words, fmt.Sprintf("%s was %v, is now %v", what, was, is))
		}
	}
	compare("the action", d.action, other.action)
	if d.action != other.action && other.refusal != "" {
		words[0] += " (" + other.refusal + ")"
	}
	compare("the place", cmp.Or(d.where, "nothing"), cmp.Or(other.where, "nothing"))
	compare("the VM", cmp.Or(d.ref, "nothing"), cmp.Or(other.ref, "nothing"))
	if d.action == other.action {
		compare("the steps", stepWords(d.steps), stepWords(other.steps))
		compare("the changes", changeWords(d.changes), changeWords(other.changes))
		if len(words) == 0 && d.writes != other.writes {
			words = append(words, "the configuration or record to write has changed")
		}
	}
	return words
}

func stepWords(steps []StepKind) string {
	var words []string
	for _, s := range steps {
		words = append(words, string(s))
	}
	return cmp.Or(strings.Join(words, ", "), "nothing")
}

func changeWords(changes []Change) string {
	var words []string
	for _, c := range changes {
		words = append(words, c.String())
	}
	return cmp.Or(strings.Join(words, ", "), "nothing")
}
