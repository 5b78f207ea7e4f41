package finding

import (
	"fmt"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// Group is one conclusion about one or more places. The finding is that of the
// first place; its advice may name that place as an example.
type Group struct {
	Finding
	Others []fault.Place
}

// few findings that say the same are still worth reading one by one.
const few = 4

// Alike joins findings that say the same of more than a few places, and leaves
// all others alone. Each stands where the first of its kind stood.
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

// Several names a few of many: "a, b, c and 196 more".
func Several(names []string) string {
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few-1], ", "), len(names)-few+1)
}
