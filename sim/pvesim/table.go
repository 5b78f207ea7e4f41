package pvesim

import "slices"

// table is the whole API that is simulated. Everything else is 501.
func (s *Sim) table() []call {
	return slices.Concat(
		rootCalls(), accessCalls(s.majorVersion()), clusterCalls(), mappingCalls(), nodeCalls(), hardwareCalls(), storageCalls(),
		taskCalls(), poolCalls(), qemuCalls(), powerCalls(), agentCalls(), cloudInitCalls(), diskCalls(), snapshotCalls(), migrationCalls(),
		strangerCalls(), poolChanges(), guestReadCalls(), accessChanges(s.majorVersion()), haCalls(), capabilityCalls(), guestCommandCalls(),
	)
}

// majorVersion is that of the product, the newest where there is no
// simulator: the table is read without one, too.
func (s *Sim) majorVersion() int {
	if s == nil {
		return 9
	}
	return s.major
}

// index is a directory of the API: one entry a name.
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
