package testlab

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/proxmox"
)

// NoteRequests is a check that notes the requests since the last call of Requests.
func (l *Lab) NoteRequests(to *map[string]int) plancheck.PlanCheck { return noteRequests{l, to} }

type noteRequests struct {
	lab *Lab
	to  *map[string]int
}

// CheckPlan implements plancheck.PlanCheck.
func (n noteRequests) CheckPlan(context.Context, plancheck.CheckPlanRequest, *plancheck.CheckPlanResponse) {
	*n.to = n.lab.Requests()
}

// Hypervisor is the document of the cluster, as its users write it.
func (l *Lab) Hypervisor() v1alpha1.Hypervisor {
	h := v1alpha1.Hypervisor{Spec: v1alpha1.HypervisorSpec{Proxmox: &v1alpha1.Proxmox{
		Endpoint: l.Endpoint, TLS: v1alpha1.TLS{Fingerprint: l.Fingerprint},
	}}}
	h.Name = "proxmox"
	return h
}

// Command is the engine of one command of the command-line tool, over the network.
func (l *Lab) Command() *engine.Engine {
	return engine.New(engine.Options{By: "ops@desk", Open: func(_ context.Context, _ *v1alpha1.Documents, document *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
		return proxmox.Open(document, proxmox.Login{Token: l.Tokens["engine"], Limit: proxmox.NewLimit()})
	}})
}

// Total is the number of all requests.
func Total(kinds map[string]int) (n int) {
	for _, times := range kinds {
		n += times
	}
	return n
}

// SideBySide lists the kinds of requests, the most frequent first.
func SideBySide(ours, theirs map[string]int) string {
	all := maps.Clone(ours)
	maps.Copy(all, theirs)
	var out strings.Builder
	for _, kind := range slices.SortedFunc(maps.Keys(all), func(a, b string) int { return all[b] - all[a] }) {
		fmt.Fprintf(&out, "%7d %7d  %s\n", ours[kind], theirs[kind], kind)
	}
	return out.String()
}
