// Command pvesimledger writes the simulator's ledger into docs/pvesim.md: each call of the
// Proxmox VE API, whether it is simulated, and how its answers are verified. `make docs`
// runs it in the root of the repository; a test checks that the file is up to date.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

const page = "docs/pvesim.md"

func main() {
	if err := update(page); err != nil {
		fmt.Fprintln(os.Stderr, "pvesimledger:", err)
		os.Exit(1)
	}
}

func update(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("run it in the root of the repository: %w", err)
	}
	updated, err := replace(string(text), section(pvesim.Ledger()))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(updated), 0o644)
}

const (
	begin = "<!-- made by `make docs`: do not edit below -->\n"
	end   = "<!-- end of what `make docs` makes -->"
)

// replace puts the section between the two marks.
func replace(text, section string) (string, error) {
	before, rest, ok := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", fmt.Errorf("the marks %q and %q are missing, or not in this order", strings.TrimSpace(begin), end)
	}
	return before + begin + section + end + after, nil
}

// section is the ledger as Markdown.
func section(entries []pvesim.Entry) string {
	var b strings.Builder
	b.WriteString("\n" + summary(entries) + "\n| Call | Simulated | Based on |\n|---|---|---|\n")
	for _, e := range entries {
		if e.Implemented {
			fmt.Fprintf(&b, "| `%s %s` | yes | %s |\n", e.Method, e.Path, source(e))
		}
	}
	b.WriteString("\nThese calls exist in Proxmox VE and clients may use them, but the simulator answers them with 501:\n\n")
	for _, e := range entries {
		if !e.Implemented {
			fmt.Fprintf(&b, "* `%s %s`\n", e.Method, e.Path)
		}
	}
	b.WriteString("\n")
	return b.String()
}

// source says how the answers of a simulated call are verified.
func source(e pvesim.Entry) string {
	switch e.Checked {
	case 0:
		return "documentation and source code"
	case 1:
		return "1 recorded exchange"
	}
	return fmt.Sprintf("%d recorded exchanges", e.Checked)
}

func summary(entries []pvesim.Entry) string {
	declared, both, implemented, checked, exchanges := 0, 0, 0, 0, 0
	for _, e := range entries {
		if e.Declared {
			declared++
		}
		if !e.Implemented {
			continue
		}
		implemented++
		if e.Declared {
			both++
		}
		if e.Checked > 0 {
			checked++
			exchanges += e.Checked
		}
	}
	return fmt.Sprintf("pvesim simulates %d calls: %d of the %d that Proxmox VE 9.1 declares and that clients of VMs use, and %d others.\n"+
		"%d of them gave the same answers as a real server in recorded exchanges (%d in all). %d are based only on documentation and source code.\n",
		implemented, both, declared, implemented-both, checked, exchanges, implemented-checked)
}
