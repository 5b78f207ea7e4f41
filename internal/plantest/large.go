package plantest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/planner"
)

// Large is a request for a large world.
type Large struct {
	Name  string
	Input func(workers int) planner.Input
	// Acts counts the workers that a plan is about, Should is the expected number: a
	// measurement first checks that it measures the right plan.
	Acts   func(plan.Summary) int
	Should func(workers int) int
}

// Larges are all requests that are measured, for n workers each.
func Larges() []Large { return append(Worlds(), named()...) }

// Worlds are the requests that name no worker.
func Worlds() []Large {
	fleet := func(f Fleet) func(int) planner.Input {
		return func(n int) planner.Input {
			f.Workers = n
			return f.Input()
		}
	}
	all := func(n int) int { return n }
	plainToo := func(n int) int { return n + (n+eachPlain-1)/eachPlain }
	kept := func(s plan.Summary) int { return s.Keep }
	made := func(s plan.Summary) int { return s.Keep + s.Create }
	refused := func(s plan.Summary) int { return s.Refused }
	held := func(s plan.Summary) int { return s.Held }
	return []Large{
		{"nothing to do", fleet(Fleet{}), kept, plainToo},
		{"nothing to do, 50 pools", fleet(Fleet{Pools: 50}), kept, plainToo},
		{"nothing to do, each card named", fleet(Fleet{Named: true}), kept, plainToo},
		{"half missing", fleet(Fleet{Every: 2}), made, plainToo},
		{"half missing, 50 pools", fleet(Fleet{Every: 2, Pools: 50}), made, plainToo},
		{"half missing, each card named", fleet(Fleet{Every: 2, Named: true}), made, plainToo},
		{"all refused, no such card", fleet(Fleet{Held: true, Model: "H100"}), refused, all},
		{"all refused, cards of others", fleet(Fleet{Held: true}), refused, all},
		{"all refused, 50 pools", fleet(Fleet{Held: true, Pools: 50}), refused, all},
		{"all refused, each card named", fleet(Fleet{Held: true, Named: true}), refused, all},
		{"all refused, template misspelt", fleet(Fleet{Plain: true, Template: "ubuntu-22.40"}), refused, plainToo},
		{"plain, half missing", fleet(Fleet{Plain: true, Every: 2}), made, plainToo},
		{"undeclared", func(n int) planner.Input { return plainOnly(Fleet{Workers: n}.Input()) }, held, all},
		{"undeclared, a pool each", func(n int) planner.Input { return plainOnly(Fleet{Workers: n, Pools: n}.Input()) }, held, all},
	}
}

// Reports are the worlds with the longest reports.
func Reports() []Large {
	return slices.DeleteFunc(Worlds(), func(l Large) bool {
		return !slices.Contains([]string{"nothing to do", "half missing, 50 pools", "all refused, 50 pools", "all refused, each card named", "undeclared, a pool each"}, l.Name)
	})
}

func named() []Large {
	ended := func(s plan.Summary) int { return s.Destroy }
	one := func(int) int { return 1 }
	tenth := func(n int) int { return n / 10 }
	return []Large{
		{"one replaced", func(n int) planner.Input { return byName(n, plan.ReplaceWorkers, 1) }, ended, one},
		{"a tenth replaced", func(n int) planner.Input { return byName(n, plan.ReplaceWorkers, n/10) }, ended, tenth},
		{"one deleted", func(n int) planner.Input { return byName(n, plan.DeleteWorkers, 1) }, ended, one},
		{"a tenth deleted", func(n int) planner.Input { return byName(n, plan.DeleteWorkers, n/10) }, ended, tenth},
		{"a tenth deleted that is gone", gone, ended, func(int) int { return 0 }},
	}
}

// plainOnly are the documents without the pools of GPU workers.
func plainOnly(in planner.Input) planner.Input {
	in.Pools = in.Pools[len(in.Pools)-1:]
	return in
}

// byName is a request for the first workers of a fleet that exists completely.
func byName(workers int, verb plan.Verb, some int) planner.Input {
	in := Fleet{Workers: workers}.Input()
	in.Request = plan.Request{Verb: verb}
	for n := range some {
		in.Request.Workers = append(in.Request.Workers, fmt.Sprintf("gpu-0-%d", n+1))
	}
	return in
}

// gone is a request to delete workers that do not exist and are not declared.
func gone(workers int) planner.Input {
	in := plainOnly(Fleet{Workers: workers}.Input())
	in.Request = plan.Request{Verb: plan.DeleteWorkers}
	for n := range workers / 10 {
		in.Request.Workers = append(in.Request.Workers, fmt.Sprintf("gpu-9-%d", n+1))
	}
	return in
}

// Plan makes the plan, and fails the test when it is not the expected one.
func (l Large) Plan(t testing.TB, in planner.Input, workers int) *plan.Plan {
	t.Helper()
	p, err := planner.Make(in)
	if err != nil {
		t.Fatal(err)
	}
	if got, expected := l.Acts(p.Summary()), l.Should(workers); got != expected {
		t.Fatalf("%s of %d: the plan is about %d workers, not %d: %+v", l.Name, workers, got, expected, p.Summary())
	}
	return p
}
