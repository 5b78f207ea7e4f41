package steps

import (
	"context"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/guest/check"
)

// allSteps are the steps of the bootstrap, in order.
var allSteps = []step{
	{name: "card", skip: plain, key: perBoot, done: cardThere, do: cardReason},
	{name: "nouveau", skip: withoutDriver, key: perBoot, done: nouveauAway, do: keepNouveauAway},
	{name: "updates", skip: withoutDriver, key: constant("1"), done: updatesHeld, do: holdUpdates},
	{name: "options", skip: unless(driver.Packages, driver.Preinstalled), key: constant("1"), done: optionsSet, do: setOptions},
	{name: "packages", skip: unless(driver.Packages), key: packagesKey, done: packagesInstalled, do: installPackages},
	{name: "modules", skip: unless(driver.Packages, driver.Preinstalled), key: perBoot, done: modulesLoaded, do: loadModules},
	{name: "persistence", optional: true, skip: unless(driver.Packages, driver.Preinstalled), key: perBoot, do: startPersistence},
	{name: "toolkit", skip: withoutToolkit, key: constant("1"), done: toolkitInstalled, do: installToolkit},
	{name: "verify", skip: plain, key: perBoot, done: verified, do: verifyReason},
	{name: "copies", skip: never, key: perBoot, done: noCopies, do: removeCopies},
}

// plain reports whether the worker has no GPU.
func plain(j *job) bool { return j.orders.GPU == nil }

// withoutDriver reports whether the guest never gets a driver.
func withoutDriver(j *job) bool { return plain(j) || j.orders.Driver.Strategy == driver.None }

func withoutToolkit(j *job) bool { return plain(j) || !j.orders.Driver.Toolkit }

// unless skips a step that is for these strategies only.
func unless(strategies ...driver.Strategy) func(*job) bool {
	return func(j *job) bool { return plain(j) || !slices.Contains(strategies, j.orders.Driver.Strategy) }
}

func constant(key string) func(*job) string { return func(*job) string { return key } }

// perBoot is the key of what a restart undoes.
func perBoot(j *job) string { return "boot " + j.guest.BootID }

// os is the release of the guest; "" for an unknown one.
func (j *job) os() driver.OS {
	id, version, _ := strings.Cut(j.guest.OS, " ")
	os, _ := driver.ParseOS(id, version)
	return os
}

// install is what the order means for the running kernel.
func (j *job) install() (driver.Install, error) {
	return driver.PackagesFor(j.orders.Driver, j.os(), j.guest.Kernel)
}

// loading is how the modules are loaded.
func (j *job) loading() driver.Loading { return driver.LoadingFor(j.orders.Driver, j.os()) }

func cardThere(j *job) bool {
	return !slices.ContainsFunc(j.report.Findings, notThere)
}

func notThere(f check.Finding) bool {
	return (f.ID == finding.GuestNoGPU || f.ID == finding.GuestExtraGPU) && f.Verdict != finding.Pass
}

// cardReason changes nothing: it says why there is no card.
func cardReason(_ context.Context, j *job) error { return reason(j, notThere) }

func verified(j *job) bool { return j.report.Ready }

// verifyReason changes nothing: it says what is not as ordered.
func verifyReason(_ context.Context, j *job) error {
	blocking := j.report.Blocking()
	return reason(j, func(f check.Finding) bool {
		return slices.ContainsFunc(blocking, func(b check.Finding) bool { return b.ID == f.ID && b.Reason == f.Reason })
	})
}

// reason is the first finding of these as an error.
func reason(j *job, is func(check.Finding) bool) error {
	i := slices.IndexFunc(j.report.Findings, is)
	if i < 0 {
		return nil
	}
	f := j.report.Findings[i]
	return &fault.Error{Kind: fault.Refused, Doing: string(f.ID), Why: f.Reason, Fix: f.Fix}
}

// Files that the bootstrap writes besides ours.
const (
	nouveauFile = "etc/modprobe.d/gpuworker-nouveau.conf"
	updatesFile = "etc/apt/apt.conf.d/52gpuworker-updates"
	heldFile    = "var/lib/gpuworker/held"    // packages that we hold, one a line
	writtenFile = "var/lib/gpuworker/written" // files of the configuration that we wrote, one a line
	dnfFile     = "etc/dnf/dnf.conf"
)

const writtenBy = "Written by gpuworker-guest bootstrap; gpuworker-guest reset removes it."

const (
	nouveauText = "# " + writtenBy + "\nblacklist nouveau\noptions nouveau modeset=0\n"
	updatesText = "// " + writtenBy + `
// Updates of driver and kernel need a restart of the VM, so no program makes them alone.
Unattended-Upgrade::Package-Blacklist {
  "nvidia-";
  "libnvidia-";
  "linux-image-";
  "linux-modules-";
  "linux-headers-";
  "linux-generic";
  "linux-virtual";
};
`
)

// has reports whether a file has exactly this content.
func (j *job) has(name, text string) bool {
	data, err := j.Tree.ReadFile(name)
	return err == nil && string(data) == text
}

// hasAll reports whether files have their content.
func (j *job) hasAll(files []driver.File) bool {
	return !slices.ContainsFunc(files, func(f driver.File) bool { return !j.has(relative(f.Path), f.Content) })
}

// writeAll writes files of the configuration.
func (j *job) writeAll(files []driver.File) error {
	for _, f := range files {
		if err := j.write(relative(f.Path), f.Content); err != nil {
			return err
		}
	}
	return nil
}

// write writes a file of the configuration, unless it has this content already. Its name
// is recorded before, so that reset finds it.
func (j *job) write(name, text string) error {
	if j.has(name, text) {
		return nil
	}
	if err := j.remember(writtenFile, name); err != nil {
		return err
	}
	if err := j.Files.Write(name, []byte(text), publicMode); err != nil {
		return err
	}
	return j.log("write /"+name, "")
}

// remember adds lines to one of our lists.
func (m *Machine) remember(list string, names ...string) error {
	all := slices.Concat(m.remembered(list), names)
	slices.Sort(all)
	return m.Files.Write(list, []byte(strings.Join(slices.Compact(all), "\n")+"\n"), privateMode)
}

// remembered are the lines of one of our lists.
func (m *Machine) remembered(list string) []string {
	data, err := m.Tree.ReadFile(list)
	if err != nil {
		return nil
	}
	return strings.Fields(string(data[:min(len(data), guest.MaxStatus)]))
}
