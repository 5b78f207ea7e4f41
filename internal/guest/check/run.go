package check

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/guest/look"
	"github.com/gpuworker/gpuworker/internal/term"
)

// Options are the inputs of a check besides the guest.
type Options struct {
	Tool  string // version of the program, for the report
	Taken string // time of the check, for the report
}

// facts is the guest with what is ordered for it.
type facts struct {
	*look.Guest
	// orders are those for this VM; nil when there are none, or it is not known.
	orders *guest.Orders
}

// guestChecks and driverChecks are all checks, in the order of the findings.
var (
	guestChecks  = []func(*facts) []Finding{checkOrders, checkCloudInit, checkSealed, checkBootstrap, checkUpdates, checkCard}
	driverChecks = []func(*facts) []Finding{
		checkTemplate, checkNouveau, checkSecureBoot, checkLoaded, checkVersion, checkFlavour, checkLibrary,
		checkAnswer, checkNVLink, checkDeviceFiles, checkUUID, checkToolkit,
	}
)

// Run checks a guest.
func Run(g *look.Guest, o Options) *Report {
	f := &facts{Guest: g}
	if g.Orders != nil && g.UUID.OK() && strings.EqualFold(g.Orders.UUID, g.UUID.Value()) {
		f.orders = g.Orders
	}
	r := &Report{
		Version: FormatVersion, Tool: o.Tool, Taken: o.Taken, Findings: []Finding{}, Loaded: g.Driver, GPUs: g.Seen(),
		System: System{Name: trim(g.Name), Kernel: trim(g.Kernel), UUID: trim(strings.ToLower(g.UUID.Value())), BootID: trim(g.BootID)},
	}
	if f.orders != nil {
		r.Worker, r.Strategy = f.orders.Worker, string(f.orders.Driver.Strategy)
	}
	for _, check := range guestChecks {
		r.Findings = append(r.Findings, check(f)...)
	}
	switch {
	case f.plain():
	case len(g.GPUs) == 0:
		r.NotEvaluated = []finding.Layer{finding.LayerDriver}
	default:
		for _, check := range driverChecks {
			r.Findings = append(r.Findings, check(f)...)
		}
	}
	clean(r)
	r.Verdict, r.Ready = worst(r.Findings), len(r.Blocking()) == 0
	return r
}

// plain reports whether the orders are for a worker without a GPU.
func (f *facts) plain() bool { return f.orders != nil && f.orders.GPU == nil }

// needs reports whether the driver must work before the join.
func (f *facts) needs() bool { return f.orders != nil && needsDriver(string(f.orders.Driver.Strategy)) }

func needsDriver(strategy string) bool {
	return slices.Contains([]driver.Strategy{driver.Preinstalled, driver.Packages, driver.Ansible}, driver.Strategy(strategy))
}

// order is what is ordered of the driver; empty without orders.
func (f *facts) order() driver.Order {
	if f.orders == nil {
		return driver.Order{}
	}
	return f.orders.Driver
}

// clean makes all texts safe for a terminal: they contain contents of files.
func clean(r *Report) {
	for i := range r.Findings {
		f := &r.Findings[i]
		f.Reason, f.Fix = string(term.Line(f.Reason)), string(term.Line(f.Fix))
		for j, e := range f.Evidence {
			f.Evidence[j] = Evidence{From: trim(e.From), Says: trim(e.Says)}
		}
	}
	r.GPUs = term.CleanAll(r.GPUs)
	r.Loaded = term.CleanAll(r.Loaded)
}

// maxEvidence limits the shown part of a file, in characters.
const maxEvidence = 200

// trim makes content safe for one line of a terminal.
func trim(content string) string {
	text := []rune(string(term.Clean(strings.Join(strings.Fields(content), " "))))
	if len(text) > maxEvidence {
		return string(text[:maxEvidence-1]) + "…"
	}
	return string(text)
}

// found makes a finding.
func found(id finding.ID, verdict finding.Verdict, reason string, evidence ...Evidence) []Finding {
	return []Finding{{Finding: finding.New(id, verdict, fault.Place{}).WithReason(reason), Evidence: evidence}}
}

// fix adds what to do to a list of one finding.
func fix(findings []Finding, text string) []Finding {
	findings[0].Fix = text
	return findings
}

// of is the content of a file as evidence.
func of(t look.Text) Evidence {
	e := Evidence{From: "/" + t.Name}
	switch {
	case t.Absent():
		e.Says = "does not exist"
	case errors.Is(t.Err, fs.ErrPermission):
		e.Says = "may not be read by this user"
	case t.Err != nil:
		var p *fs.PathError
		err := t.Err
		if errors.As(err, &p) {
			err = p.Err
		}
		e.Says = "cannot be read: " + err.Error()
	default:
		e.Says = cmp.Or(t.Value(), "is empty")
	}
	return e
}

// line is one line of a file as evidence.
func line(t look.Text, text string) Evidence { return Evidence{From: "/" + t.Name, Says: text} }

// asRoot is the fix for what this user may not read.
const asRoot = "run it as root"
