package pvesim

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Entry is one call of the API in the ledger, with how well it is verified.
type Entry struct {
	Method string
	// Path is below /api2/json; {name} is a parameter.
	Path string
	// Declared calls are in the list of calls of Proxmox VE 9.1 that clients such as ours
	// may need. Other calls may be implemented too.
	Declared bool
	// Implemented calls are simulated; all others answer 501.
	Implemented bool
	// Checked is the number of exchanges, recorded with a real Proxmox VE 9.2, for which
	// the call gives the same answer: status, reason, headers, body and task. With 0, the
	// call is based only on documentation and source.
	Checked int
}

// ledgerText has one line per call: whether it is declared, the number of passed
// recorded exchanges, method, path.
//
//go:embed ledger.txt
var ledgerText string

// Ledger lists all calls that are declared or implemented, by path and method.
func Ledger() []Entry {
	entries, err := parseLedger(ledgerText)
	if err != nil {
		panic("pvesim: " + err.Error()) // the embedded file; a test reads it
	}
	known := map[string]int{}
	for i, e := range entries {
		known[e.Method+" "+e.Path] = i
	}
	for _, c := range table(newest) {
		path := declaredPath(c.path)
		i, ok := known[c.method+" "+path]
		if !ok {
			i = len(entries)
			entries = append(entries, Entry{Method: c.method, Path: path})
		}
		entries[i].Implemented = true
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
	})
	return entries
}

// Pattern returns the path, in the form of Ledger, of the call for a request; "" if there
// is none.
func Pattern(method, path string) string {
	c, _ := newRouter(table(newest)).find(method, segments(path))
	if c == nil {
		return ""
	}
	return declaredPath(c.path)
}

// declaredPath returns a path in the form of the real API, which does not mark parameters
// of several segments.
func declaredPath(path string) string { return strings.ReplaceAll(path, "...}", "}") }

func parseLedger(text string) ([]Entry, error) {
	var entries []Entry
	for i, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 4 || fields[0] != "declared" && fields[0] != "beyond" {
			return nil, fmt.Errorf("ledger.txt, line %d: want \"declared|beyond CHECKED METHOD PATH\", got %q", i+1, line)
		}
		checked, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, fmt.Errorf("ledger.txt, line %d: count of checks: %w", i+1, err)
		}
		entries = append(entries, Entry{Declared: fields[0] == "declared", Checked: checked, Method: fields[2], Path: fields[3]})
	}
	return entries, nil
}
