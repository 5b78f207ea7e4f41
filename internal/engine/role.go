package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
)

// Role returns the commands that create a least-privilege login for each hypervisor.
// It contacts no hypervisor, since it is needed before a login exists. version is the
// hypervisor's, "" for the newest known version.
//
// The commands give the login exactly these privileges and no others, so documents
// with the same endpoint are combined.
func (e *Engine) Role(ctx context.Context, documents *v1alpha1.Documents, version string) (string, error) {
	var parts []string
	done := map[string]bool{} // by endpoint
	for i := range documents.Hypervisors {
		document := &documents.Hypervisors[i]
		backend, err := e.backend(ctx, documents, document)
		if err != nil {
			return "", err
		}
		writer, ok := backend.(RoleWriter)
		if !ok || done[document.Endpoint()] {
			continue
		}
		done[document.Endpoint()] = true
		parts = append(parts, writer.Role(version, endpointScope(documents, document.Endpoint())))
	}
	return strings.Join(parts, "\n"), nil
}

// endpointScope is what all documents with this endpoint need to observe.
func endpointScope(documents *v1alpha1.Documents, endpoint string) hypervisor.Scope {
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
		if document.Endpoint() != endpoint {
			continue
		}
		scope := scopeOf(documents, document)
		join(&all.Storages, scope.Storages)
		join(&all.ResourcePools, scope.ResourcePools)
		all.Cards = all.Cards || scope.Cards
		all.UseSeeds, all.Guests = all.UseSeeds || scope.UseSeeds, all.Guests || scope.Guests
	}
	return all
}
