package pvesim

import "slices"

// newest is the newest major version of the product.
const newest = 9

// table returns the simulated calls of a major version. All others answer 501.
func table(major int) []call {
	return slices.Concat(
		rootCalls(), accessCalls(major), clusterCalls(), mappingCalls(), nodeCalls(), hardwareCalls(), storageCalls(),
		taskCalls(), poolCalls(), qemuCalls(), powerCalls(), agentCalls(), cloudInitCalls(), diskCalls(), snapshotCalls(), migrationCalls(),
		strangerCalls(), poolChanges(), guestReadCalls(), accessChanges(major), haCalls(), capabilityCalls(), guestCommandCalls(),
	)
}

// index is a directory of the API: one entry per name.
func index(key string, names ...string) func(*Sim, *request) (any, error) {
	return func(*Sim, *request) (any, error) {
		out := []any{}
		for _, name := range names {
			out = append(out, map[string]any{key: name})
		}
		return out, nil
	}
}

func rootCalls() []call {
	return []call{
		{method: "GET", path: "/", serve: index("subdir", "access", "cluster", "nodes", "pools", "storage", "version")},
		{method: "GET", path: "/version", serve: (*Sim).versionInfo},
	}
}
