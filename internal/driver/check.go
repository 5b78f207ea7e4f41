package driver

import (
	"fmt"
	"slices"

	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// Problem is a reason why an order cannot be carried out, or may not be.
type Problem struct {
	// Field is the field that is wrong, below spec: "driver.branch", "template.os".
	Field  string
	Kind   Kind
	Reason string // what does not work, and why
	Fix    string // what to do or to write instead; "" for nothing
}

// Kind is how bad a problem is.
type Kind int

// The kinds of problems.
const (
	Impossible Kind = iota // it cannot work
	Unknown                // not known to work: a warning, and never a pass
	Notice                 // works, but the operator should know something
)

// String is the whole message.
func (p Problem) String() string {
	if p.Fix == "" {
		return p.Reason
	}
	return p.Reason + "; " + p.Fix
}

// Fields of problems.
const (
	FieldStrategy   = "driver.strategy"
	FieldBranch     = "driver.branch"
	FieldVersion    = "driver.version"
	FieldModules    = "driver.modules"
	FieldRepository = "driver.repository"
	FieldNVLink     = "driver.disableNVLink"
	FieldToolkit    = "driver.containerToolkit"
	FieldOS         = "template.os"
)

// Check finds what prevents the request with this GPU, and what the GPU decides. An ID that
// is zero is not known yet.
func (r Request) Check(id pci.ID) []Problem {
	o := r.Order(id)
	problems := Check(o, id, r.OS)
	if gpu, _ := Lookup(id); gpu.SXM && r.NVLink == ByCard && o.NoNVLink {
		problems = append(problems, Problem{Field: FieldNVLink, Kind: Notice, Reason: waitsForNVLink(gpu) + "; gpuworker sets it"})
	}
	return problems
}

// CheckCard finds what Check finds because of this GPU: not what the document shows
// without it.
func (r Request) CheckCard(id pci.ID) []Problem {
	if r.IsNone() {
		return nil
	}
	general := r.Check(pci.ID{})
	return slices.DeleteFunc(r.Check(id), func(p Problem) bool { return slices.Contains(general, p) })
}

// Check finds what prevents an order in a guest of this release with this GPU. It is empty
// only when everything is known and works. An OS or ID that is not known yet, because the
// document leaves it open, is "" or zero.
func Check(o Order, gpu pci.ID, os OS) []Problem {
	return append(CheckGuest(o, os), CheckGPU(o, gpu)...)
}

// CheckGPU finds what prevents an order with a GPU.
func CheckGPU(o Order, id pci.ID) []Problem {
	if o.Strategy == None || o.Strategy == "" || id.IsZero() {
		return nil
	}
	gpu, known := Lookup(id)
	if !known {
		return []Problem{{Field: FieldModules, Kind: Unknown,
			Reason: fmt.Sprintf("GPU %s is not in gpuworker's table, so it is not known which branches and kernel modules work with it", id),
			Fix:    "look it up in NVIDIA's list of supported products, or use a newer gpuworker"}}
	}
	var problems []Problem
	problems = append(problems, checkModules(o, gpu)...)
	problems = append(problems, checkBranchOf(o, gpu)...)
	return append(problems, checkNVLink(o, gpu)...)
}

func checkModules(o Order, gpu GPU) []Problem {
	if gpu.Architecture.Supports(o.Modules()) {
		return nil
	}
	if o.Open {
		return []Problem{{Field: FieldModules,
			Reason: fmt.Sprintf("the open kernel modules do not work with %s: they need Turing or newer, and it is %s", gpu, gpu.Architecture),
			Fix:    "write modules: Proprietary, or leave modules out"}}
	}
	return []Problem{{Field: FieldModules,
		Reason: fmt.Sprintf("the proprietary kernel modules do not work with %s: %s has only the open ones", gpu, gpu.Architecture),
		Fix:    "write modules: Open, or leave modules out"}}
}

func checkBranchOf(o Order, gpu GPU) []Problem {
	branch := o.number()
	switch {
	case branch == 0 && gpu.Last > 0 && o.Strategy == Operator:
		return []Problem{{Field: FieldBranch, Kind: Notice,
			Reason: fmt.Sprintf("R%d is the last branch for %s (%s), and the default driver of the GPU Operator is newer since v26.7", gpu.Last, gpu, gpu.Architecture),
			Fix:    fmt.Sprintf("set driver.version of the GPU Operator to one of R%d", gpu.Last)}}
	case branch == 0:
	case gpu.Last > 0 && branch > gpu.Last:
		return []Problem{{Field: FieldBranch,
			Reason: fmt.Sprintf("R%d has no %s: R%d is the last branch for %s", branch, gpu, gpu.Last, gpu.Architecture),
			Fix:    fmt.Sprintf("write branch: %q", fmt.Sprint(gpu.Last))}}
	case branch < gpu.First:
		return []Problem{{Field: FieldBranch,
			Reason: fmt.Sprintf("R%d has no %s: R%d is the first branch for it", branch, gpu, gpu.First),
			Fix:    fmt.Sprintf("write branch: %q or newer", DefaultBranch)}}
	}
	return nil
}

// checkNVLink reports a card that needs the option and does not get it.
func checkNVLink(o Order, gpu GPU) []Problem {
	if !gpu.SXM || o.NoNVLink {
		return nil
	}
	p := Problem{Field: FieldNVLink, Kind: Notice, Reason: waitsForNVLink(gpu), Fix: "write disableNVLink: true, or leave it out"}
	switch o.Strategy {
	case Operator:
		p.Reason += "; gpuworker cannot set it for the driver of the GPU Operator"
		p.Fix = "give it to the GPU Operator: driver.kernelModuleConfig names a ConfigMap with nvidia.conf"
	case Ansible:
		p.Reason += "; with strategy Ansible gpuworker does not set it"
		p.Fix = "let the playbook write a file in /etc/modprobe.d: options nvidia NVreg_NvLinkDisable=1"
	case Preinstalled, Packages, None:
	}
	return []Problem{p}
}

func waitsForNVLink(gpu GPU) string {
	return fmt.Sprintf("%s is a module of an SXM board: alone in a VM it has no NVLink partners, and without the module option NVreg_NvLinkDisable=1 CUDA does not start", gpu)
}

// CheckGuest finds what prevents an order in a guest of this release.
func CheckGuest(o Order, os OS) []Problem {
	if o.Strategy == None || o.Strategy == "" {
		return nil
	}
	problems := checkBranch(o)
	switch {
	case o.Strategy == Operator && os == Debian13:
		problems = append(problems, Problem{Field: FieldStrategy, Kind: Notice,
			Reason: "NVIDIA publishes no driver image of the GPU Operator for Debian 13 (NVIDIA/gpu-operator#2225)",
			Fix:    "use a driver image of your own, or write strategy: Preinstalled or Ansible"})
	case o.Strategy != Packages:
	case os.family() == ubuntu:
		problems = append(problems, checkUbuntu(o, os)...)
	case os.family() == rhel:
		problems = append(problems, checkRHEL(o, os)...)
	case os.family() == debian:
		problems = append(problems, Problem{Field: FieldStrategy,
			Reason: fmt.Sprintf("%s has no pre-built kernel modules of NVIDIA, and gpuworker does not compile any", os),
			Fix:    otherStrategies})
	default:
		problems = append(problems, Problem{Field: FieldOS,
			Reason: "is missing: the names of the driver's packages depend on the guest's release",
			Fix:    "write the release of the template, for example ubuntu-24.04"})
	}
	return problems
}

const otherStrategies = "write strategy: Preinstalled (the driver is in the template), Operator or Ansible, or use an Ubuntu template"

// checkBranch warns about a branch that NVIDIA does not support.
func checkBranch(o Order) []Problem {
	if o.number() == 0 {
		return nil
	}
	b, known := LookupBranch(fmt.Sprint(o.number()))
	if !known {
		return []Problem{{Field: FieldBranch, Kind: Unknown,
			Reason: fmt.Sprintf("R%d is not among the branches that gpuworker knows (as of %s), so it cannot be checked", o.number(), TableDate),
			Fix:    "NVIDIA supports " + phrase.And(supported())}}
	}
	if !b.Ended {
		return nil
	}
	reason := fmt.Sprintf("NVIDIA does not support %s any more", b)
	if b.EndOfLife != "" {
		reason = fmt.Sprintf("NVIDIA's support of %s ended in %s", b, b.EndOfLife)
	}
	return []Problem{{Field: FieldBranch, Kind: Notice, Reason: reason, Fix: "NVIDIA supports " + phrase.And(supported())}}
}
