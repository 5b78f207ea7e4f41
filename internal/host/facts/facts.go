// Package facts gives the engine the facts of hosts: the output of
// `gpuworker-host check -o json`, read from a directory or fetched by SSH.
package facts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	hostcheck "github.com/gpuworker/gpuworker/internal/host/check"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// statement is the report of one host, with its time.
type statement struct {
	facts  *inventory.Facts
	taken  time.Time     // by the clock of the host; zero when missing
	uptime time.Duration // of the host at that time; 0 when missing
}

// readDir reads all files NAME.json of a directory. The key is the host that the
// file names, or NAME when it names none. All problems are returned together.
func readDir(dir string) (map[string]statement, error) {
	names, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.json"))
	if err != nil {
		return nil, err
	}
	if _, err := os.ReadDir(dir); err != nil {
		return nil, problem(dir, err.Error())
	}
	all := map[string]statement{}
	var problems []error
	for _, name := range names {
		host, said, err := readFile(name)
		switch other, twice := all[host]; {
		case err != nil:
			problems = append(problems, err)
		case twice:
			problems = append(problems, problem(name, fmt.Sprintf("it is of host %s, and so is %s", host, other.facts.From)))
		default:
			all[host] = said
		}
	}
	return all, errors.Join(problems...)
}

func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

func readFile(name string) (host string, said statement, err error) {
	data, err := readBounded(name)
	if err == nil {
		host, said, err = parse(data, name)
	}
	if err != nil {
		return "", statement{}, problem(name, err.Error())
	}
	if host == "" {
		host = strings.TrimSuffix(filepath.Base(name), ".json")
	}
	return host, said, nil
}

// maxAnswer is the maximum size of a report in bytes. That of a host with 64 cards is
// less than one MiB.
const maxAnswer = 16 << 20

var errTooLong = fmt.Errorf("it is longer than %d MiB: this is not the output of gpuworker-host check -o json", maxAnswer>>20)

func readBounded(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() { // opening a pipe would wait for a writer
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxAnswer+1))
	if err == nil && len(data) > maxAnswer {
		err = errTooLong
	}
	return data, err
}

func problem(name, why string) error {
	return &fault.Error{
		Kind: fault.Invalid, Doing: "read the host facts " + name, Why: why,
		Fix: "collect them with `gpuworker-host check -o json > HOST.json` on each host",
	}
}

// parse reads the output of gpuworker-host. from names its source.
func parse(data []byte, from string) (host string, said statement, err error) {
	var report hostcheck.Report
	if err := json.Unmarshal(data, &report); err != nil {
		return "", statement{}, fmt.Errorf("this is not the output of gpuworker-host check -o json: %w", err)
	}
	switch {
	case report.Version == 0:
		return "", statement{}, errors.New("this is not the output of gpuworker-host check -o json: it has no version")
	case report.Version > hostcheck.FormatVersion:
		return "", statement{}, fmt.Errorf("it has version %d, and this gpuworker reads up to %d: use a newer gpuworker", report.Version, hostcheck.FormatVersion)
	}
	if report.Taken != "" {
		if said.taken, err = time.Parse(time.RFC3339, report.Taken); err != nil {
			return "", statement{}, fmt.Errorf("the field taken is not a date: %w", err)
		}
	}
	const century = 100 * 365 * 24 * 3600 // seconds; much more would overflow a Duration
	said.uptime = time.Duration(min(max(report.System.Uptime, 0), century)) * time.Second
	said.facts = &inventory.Facts{From: from, Findings: findings(report.Findings, report.NotEvaluated)}
	for _, card := range report.Cards {
		said.facts.Cards = append(said.facts.Cards, inventory.CardFacts{
			Slot: card.BDF.Slot, ID: card.ID, Driver: plain(card.Driver), Findings: findings(card.Findings, card.NotEvaluated),
		})
	}
	return plain(report.Host), said, nil
}

// plain makes text of a host safe for a terminal, because the facts may contain
// control characters. Everything that is shown goes through it.
func plain(text string) string {
	const most = 2000 // characters; texts of the tool have a few hundred
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most-1]) + "…"
	}
	return text
}

// plainFinding makes all texts of a finding safe to show. An invalid verdict becomes
// unknown.
func plainFinding(t hostcheck.Finding) hostcheck.Finding {
	known := func(v finding.Verdict) finding.Verdict {
		if !slices.Contains([]finding.Verdict{finding.Pass, finding.Fail, finding.Unknown, finding.Info}, v) {
			return finding.Unknown
		}
		return v
	}
	t.ID, t.Layer, t.Reason, t.Fix = finding.ID(plain(string(t.ID))), finding.Layer(plain(string(t.Layer))), plain(t.Reason), plain(t.Fix)
	t.Verdict, t.AfterReboot, t.Where = known(t.Verdict), known(t.AfterReboot), fault.Place{}
	return t
}

// findings selects the findings for the engine. One that fails only after a reboot
// becomes a note. When layers were not evaluated because of a failure that the
// hypervisor reports itself (and that is left out here), one unknown finding stands
// for them.
func findings(said []hostcheck.Finding, notJudged []finding.Layer) []finding.Finding {
	var told []hostcheck.Finding
	for _, f := range said {
		told = append(told, plainFinding(f))
	}
	var all []finding.Finding
	fails := func(f finding.Finding) bool { return f.Verdict == finding.Fail }
	for _, t := range told {
		f := t.Finding
		switch {
		case f.AboutVMs(), f.Verdict == finding.Info && t.AfterReboot != finding.Fail:
			continue
		case f.Verdict != finding.Fail && t.AfterReboot == finding.Fail:
			f.Verdict, f.Reason = finding.Info, "not after the next reboot: "+f.Reason
		}
		all = append(all, f)
	}
	left := slices.IndexFunc(told, func(t hostcheck.Finding) bool { return fails(t.Finding) })
	if len(notJudged) > 0 && left >= 0 && !slices.ContainsFunc(all, fails) {
		all = append(all, finding.New(finding.HostDriver, finding.Unknown, fault.Place{}).
			WithReason(fmt.Sprintf("the host did not check %s because %s failed: %s", joined(notJudged), told[left].ID, told[left].Reason)).
			WithFix("gpuworker-host check -o json"))
	}
	return all
}

func joined(layers []finding.Layer) string {
	var names []string
	for _, layer := range layers {
		names = append(names, plain(string(layer)))
	}
	return strings.Join(names, ", ")
}
