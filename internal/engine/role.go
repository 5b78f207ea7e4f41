package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
)

// Role prints how to make a least-privilege login for each hypervisor. It asks
// no hypervisor: it is what one needs before there is a login. version is the
// hypervisor's, "" for the newest known.
//
// The login has what is printed and nothing else, so documents that speak of one
// cluster, by one endpoint, are printed as one.
func (e *Engine) Role(ctx context.Context, documents *v1alpha1.Documents, version string) (string, error) {
	var parts []string
	clusters := map[string]bool{}
	for i := range documents.Hypervisors {
		document := &documents.Hypervisors[i]
		backend, err := e.backend(ctx, documents, document)
		if err != nil {
			return "", err
		}
		writer, ok := backend.(RoleWriter)
		if !ok || clusters[document.Endpoint()] {
			continue
		}
		clusters[document.Endpoint()] = true
		parts = append(parts, writer.Role(version, clusterScope(documents, document.Endpoint())))
	}
	return strings.Join(parts, "\n"), nil
}

// clusterScope is what all documents with an endpoint need of it.
func clusterScope(documents *v1alpha1.Documents, of string) hypervisor.Scope {
	var all hypervisor.Scope
	join := func(list *[]string, more []string) {
		for _, name := range more {
			if !slices.Contains(*list, name) {
				*list = append(*list, name)
			}
		}
	}
	for i := range documents.Hypervisors {
		document := &documents.Hypervisors[i]
		if document.Endpoint() != of {
			continue
		}
		scope := scopeOf(documents, document)
		join(&all.Storages, scope.Storages)
		join(&all.ResourcePools, scope.ResourcePools)
		all.Cards = all.Cards || scope.Cards
	}
	return all
}
