package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// writeLedger writes which calls the real API declares, and how many recorded requests to
// each call the simulator answered as the real server did.
func writeLedger(file string, scenarios []scenario) error {
	table, err := find("PVE_API_TABLE", tableBeside)
	if err != nil {
		return err
	}
	if table == "" {
		return errors.New("the ledger needs the table of the real API: set PVE_API_TABLE to the file")
	}
	declared, err := readTable(table)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(formatLedger(declared, countChecks(scenarios))), 0o644)
}

// readTable reads the calls that the real API declares, as "METHOD PATH".
func readTable(file string) ([]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var table struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(data, &table); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var calls []string
	for path, methods := range table.Paths {
		for method := range methods {
			calls = append(calls, method+" "+path)
		}
	}
	if len(calls) == 0 {
		return nil, fmt.Errorf("%s: no calls in it; is that the table of the API?", file)
	}
	return calls, nil
}

// countChecks counts the requests to each call of the simulator. All scenarios
// passed, so each was answered as recorded.
func countChecks(scenarios []scenario) map[string]int {
	checks := map[string]int{}
	for _, s := range scenarios {
		for _, r := range s.requests() {
			route := r.route()
			if route == "" {
				continue
			}
			if pattern := pvesim.Pattern(r.Method, route); pattern != "" {
				checks[r.Method+" "+pattern]++
			}
		}
	}
	return checks
}

// formatLedger returns the text that pvesim.Ledger reads: one line for each call.
func formatLedger(declared []string, checks map[string]int) string {
	calls := slices.Clone(declared)
	for call := range checks {
		if !slices.Contains(calls, call) {
			calls = append(calls, call)
		}
	}
	slices.SortFunc(calls, func(a, b string) int {
		return strings.Compare(backwards(a), backwards(b))
	})
	var b strings.Builder
	b.WriteString("# Made by `make ledger` from recordings of a real Proxmox VE: do not edit.\n" +
		"# declared or beyond, recorded exchanges that passed, method, path\n")
	for _, call := range calls {
		word := "beyond"
		if slices.Contains(declared, call) {
			word = "declared"
		}
		fmt.Fprintf(&b, "%s %d %s\n", word, checks[call], call)
	}
	return b.String()
}

// backwards returns "PATH METHOD", the sort key of a call.
func backwards(call string) string {
	method, path, _ := strings.Cut(call, " ")
	return path + " " + method
}
