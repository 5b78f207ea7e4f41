package pvesim

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Entry is one call of the API in the ledger: what there is, and how well it
// is known to be true.
type Entry struct {
	Method string
	// Path is below /api2/json; {name} is a parameter.
	Path string
	// Declared calls are in the list of calls of Proxmox VE 9.1 that clients
	// like ours may need; the others are answered all the same.
	Declared bool
	// Implemented calls are simulated; all others answer 501.
	Implemented bool
	// Checked is how many exchanges, recorded with a real Proxmox VE 9.2, the
	// call answered as the real server did: status, reason, headers, body and
	// task. With 0 it was written from documentation and source only.
	Checked int
}

// ledgerText has one line a call: whether it is declared, how many recorded
// exchanges it passed, method, path.
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

// Pattern is the path of the call that answers a request, as Ledger has it,
// and "" when none does.
func Pattern(method, path string) string {
	c, _ := newRouter(table(newest)).find(method, segments(path))
	if c == nil {
		return ""
	}
	return declaredPath(c.path)
}

// declaredPath writes a path as the real API declares it: without saying which
// parameters take several segments.
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
