package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
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
		if !ok || clusters[hypervisor.Endpoint()] {
			continue
		}
		clusters[hypervisor.Endpoint()] = true
		parts = append(parts, writer.Role(version, e.clusterScope(hypervisor.Endpoint())))
	}
	return strings.Join(parts, "\n"), nil
}

// clusterScope is what all documents with an endpoint need of it.
func (e *Engine) clusterScope(of string) hypervisor.Scope {
	var all hypervisor.Scope
	join := func(list *[]string, more []string) {
		for _, name := range more {
			if !slices.Contains(*list, name) {
				*list = append(*list, name)
			}
		}
	}
	for i := range e.options.Documents.Hypervisors {
		document := &e.options.Documents.Hypervisors[i]
		if document.Endpoint() != of {
			continue
		}
		scope := e.scope(document)
		join(&all.Storages, scope.Storages)
		join(&all.ResourcePools, scope.ResourcePools)
		all.Cards = all.Cards || scope.Cards
	}
	return all
}
