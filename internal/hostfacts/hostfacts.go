// Package hostfacts brings what hosts say of themselves to the engine: the
// output of `gpuworker-host check -o json`, collected in a directory by any
// means, or asked for by SSH.
package hostfacts

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/hostcheck"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// aboutVMs are findings about VMs and memory, which the hypervisor knows better
// and newer than a file.
var aboutVMs = []finding.ID{
	finding.HostCardClaimed, finding.HostGuestWindow, finding.HostAddressWidth, finding.HostMemoryShort, finding.HostMemlock,
	finding.HostStartTimeout, finding.HostNUMA, finding.HostVMNotQ35, finding.HostVMHidesKVM,
}

// ReadDir reads all files NAME.json of a directory, by the name of the host that
// they speak of; that of the file when they do not say. All problems come at
// once.
func ReadDir(dir string) (map[string]*inventory.Facts, error) {
	names, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.json"))
	if err != nil {
		return nil, err
	}
	if _, err := os.ReadDir(dir); err != nil {
		return nil, problem(dir, err.Error())
	}
	all := map[string]*inventory.Facts{}
	var problems []error
	for _, name := range names {
		host, facts, err := readFile(name)
		switch {
		case err != nil:
			problems = append(problems, err)
		case all[host] != nil:
			problems = append(problems, problem(name, fmt.Sprintf("speaks of host %s, and so does %s", host, all[host].From)))
		default:
			all[host] = facts
		}
	}
	return all, errors.Join(problems...)
}

func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

func readFile(name string) (host string, facts *inventory.Facts, err error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return "", nil, problem(name, err.Error())
	}
	host, facts, err = Parse(data, name)
	if err != nil {
		return "", nil, problem(name, err.Error())
	}
	if host == "" {
		host = strings.TrimSuffix(filepath.Base(name), ".json")
	}
	return host, facts, nil
}

func problem(name, why string) error {
	return &fault.Error{
		Kind: fault.Invalid, Doing: "read the host facts " + name, Why: why,
		Fix: "collect them with `gpuworker-host check -o json > HOST.json` on each host",
	}
}

// Parse reads the output of gpuworker-host. from says where it is from.
func Parse(data []byte, from string) (host string, facts *inventory.Facts, err error) {
	var report hostcheck.Report
	if err := json.Unmarshal(data, &report); err != nil {
		return "", nil, fmt.Errorf("this is no output of gpuworker-host check -o json: %w", err)
	}
	switch {
	case report.Version == 0:
		return "", nil, errors.New("this is no output of gpuworker-host check -o json: it has no version")
	case report.Version > hostcheck.FormatVersion:
		return "", nil, fmt.Errorf("it is of version %d, this gpuworker reads up to %d: take a newer one", report.Version, hostcheck.FormatVersion)
	}
	facts = &inventory.Facts{From: from, Findings: findings(report.Findings, report.NotEvaluated)}
	for _, card := range report.Cards {
		facts.Cards = append(facts.Cards, inventory.CardFacts{
			Slot: card.BDF.Slot, ID: card.ID, Driver: card.Driver, Findings: findings(card.Findings, card.NotEvaluated),
		})
	}
	return report.Host, facts, nil
}

// findings translates. What is well now and will not be after a reboot is worth
// a note. Layers that were not judged need none as long as what fails below them is
// told too; when that is left to the hypervisor, they are not known.
func findings(told []hostcheck.Finding, notJudged []finding.Layer) []finding.Finding {
	var all []finding.Finding
	fails := func(f finding.Finding) bool { return f.Verdict == finding.Fail }
	for _, t := range told {
		f := t.Finding
		switch {
		case slices.Contains(aboutVMs, f.ID), f.Verdict == finding.Info && t.AfterReboot != finding.Fail:
			continue
		case f.Verdict != finding.Fail && t.AfterReboot == finding.Fail:
			f.Verdict, f.Reason = finding.Info, "not after the next reboot: "+f.Reason
		}
		all = append(all, f)
	}
	left := slices.IndexFunc(told, func(t hostcheck.Finding) bool { return fails(t.Finding) })
	if len(notJudged) > 0 && left >= 0 && !slices.ContainsFunc(all, fails) {
		all = append(all, finding.Finding{
			ID: finding.HostDriver, Verdict: finding.Unknown, Layer: finding.LayerHost,
			Reason: fmt.Sprintf("the host did not look at %s since %s failed then: %s", joined(notJudged), told[left].ID, told[left].Reason),
			Fix:    "gpuworker-host check -o json",
		})
	}
	return all
}

func joined(layers []finding.Layer) string {
	var names []string
	for _, layer := range layers {
		names = append(names, string(layer))
	}
	return strings.Join(names, ", ")
}
