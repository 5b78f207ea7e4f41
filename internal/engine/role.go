package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// Role prints how to make a least-privilege login for each hypervisor. It asks
// no hypervisor: it is what one needs before there is a login. version is the
// hypervisor's, "" for the newest known.
//
// The login has what is printed and nothing else, so documents that speak of one
// cluster, by one endpoint, are printed as one.
func (e *Engine) Role(ctx context.Context, version string) (string, error) {
	var parts []string
	clusters := map[string]bool{}
	for i := range e.options.Documents.Hypervisors {
		hypervisor := &e.options.Documents.Hypervisors[i]
		backend, err := e.backend(ctx, hypervisor)
		if err != nil {
			return "", err
		}
		writer, ok := backend.(RoleWriter)
		if !ok || clusters[endpoint(hypervisor)] {
			continue
		}
		clusters[endpoint(hypervisor)] = true
		parts = append(parts, writer.Role(version, e.clusterScope(endpoint(hypervisor))))
	}
	return strings.Join(parts, "\n"), nil
}

func endpoint(h *v1alpha1.Hypervisor) string {
	if h.Spec.Proxmox == nil {
		return ""
	}
	return h.Spec.Proxmox.Endpoint
}

// clusterScope is what all documents with an endpoint need of it.
func (e *Engine) clusterScope(of string) inventory.Scope {
	var all inventory.Scope
	join := func(list *[]string, more []string) {
		for _, name := range more {
			if !slices.Contains(*list, name) {
				*list = append(*list, name)
			}
		}
	}
	for i := range e.options.Documents.Hypervisors {
		hypervisor := &e.options.Documents.Hypervisors[i]
		if endpoint(hypervisor) != of {
			continue
		}
		scope := e.scope(hypervisor.Name)
		join(&all.Storages, scope.Storages)
		join(&all.ResourcePools, scope.ResourcePools)
		all.Cards = all.Cards || scope.Cards
	}
	return all
}
