package finding

import (
	"github.com/gpuworker/gpuworker/internal/fault"
)

// Group is one finding about one or more places. The finding is that of the first place;
// its fix may name this place as an example.
type Group struct {
	Finding
	Others []fault.Place
}

// few is the number of equal findings, and of names, that are still printed one by one.
const few = 4

// Alike joins findings that are the same in more than a few places. Others stay as they
// are. A group is in the position of its first finding.
func Alike(findings []Finding) []Group {
	type kind struct {
		id      ID
		verdict Verdict
		reason  string
	}
	kindOf := func(f Finding) kind { return kind{f.ID, f.Verdict, f.Reason} }
	number := map[kind]int{}
	for _, f := range findings {
		number[kindOf(f)]++
	}
	var groups []Group
	at := map[kind]int{}
	for _, f := range findings {
		k := kindOf(f)
		if i, begun := at[k]; begun && number[k] > few {
			groups[i].Others = append(groups[i].Others, f.Where)
			continue
		}
		at[k] = len(groups)
		groups = append(groups, Group{Finding: f})
	}
	return groups
}
