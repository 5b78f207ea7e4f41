package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/guest/look"
	"github.com/gpuworker/gpuworker/internal/guest/run"
)

// Timeouts of the package managers. The driver has about 300 MB.
const (
	refreshTimeout = 10 * time.Minute
	installTimeout = 30 * time.Minute
	holdTimeout    = time.Minute
)

// quietly lets apt-get and dpkg ask nothing and restart nothing (debconf(7), needrestart(1)).
var quietly = []string{"DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1", "APT_LISTCHANGES_FRONTEND=none"}

// aptOptions wait up to five minutes for another apt-get, and keep changed configuration.
var aptOptions = []string{"-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"}

func aptGet(timeout time.Duration, args ...string) run.Command {
	return run.Command{Name: "apt-get", Args: slices.Concat(aptOptions, args), Env: quietly, Timeout: timeout}
}

// pinned returns the installed packages of kernel and driver, sorted.
func (j *job) pinned() []string {
	names := slices.DeleteFunc(slices.Collect(maps.Keys(j.guest.Packages.Versions)), func(name string) bool { return !look.IsKernel(name) && !look.IsDriver(name) })
	slices.Sort(names)
	return names
}

func (j *job) allHeld(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !j.guest.Packages.Held[name] })
}

func updatesHeld(j *job) bool {
	if j.guest.Family == look.RedHat {
		return dnfExcludes(j) == nil
	}
	return j.has(updatesFile, updatesText) && j.guest.Packages.Err == nil && j.allHeld(j.pinned())
}

// holdUpdates keeps programs and people from updating driver and kernel by accident.
func holdUpdates(ctx context.Context, j *job) error {
	switch j.guest.Family {
	case look.Debian:
		if err := j.write(updatesFile, updatesText); err != nil {
			return err
		}
		return hold(ctx, j, j.pinned())
	case look.RedHat:
		return excludeInDnf(j)
	case look.OtherFamily:
	}
	return &fault.Error{Kind: fault.Unsupported, Doing: "hold updates", Why: "the package manager of " + j.guest.OS + " is not known", Fix: "use a guest with Ubuntu, Debian, RHEL or Rocky"}
}

// hold holds packages, and records which ones were not held before.
func hold(ctx context.Context, j *job, names []string) error {
	if j.guest.Packages.Err != nil {
		return fmt.Errorf("read the installed packages: %w", j.guest.Packages.Err)
	}
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return j.guest.Packages.Held[name] })
	if len(names) == 0 {
		return nil
	}
	if err := j.remember(heldFile, names...); err != nil {
		return err
	}
	return j.must(ctx, run.Command{Name: "apt-mark", Args: append([]string{"hold"}, names...), Timeout: holdTimeout})
}

// must runs a command of a package manager and explains its failure.
func (j *job) must(ctx context.Context, c run.Command) error {
	result, err := j.run(ctx, c)
	if err != nil || result.OK() {
		return err
	}
	j.unfinished = j.unfinished || strings.Contains(result.Output, dpkgInterrupted)
	return packageError(c, result)
}

// dpkgInterrupted is the message of apt-get after an installation that was cut off.
const dpkgInterrupted = "dpkg was interrupted"

// packageFailures are messages of apt-get and dnf, what they mean for the retry, and what
// to do.
var packageFailures = []struct {
	message string
	kind    fault.Kind
	fix     string
}{
	{"enough free space", fault.Refused, "make room on the disk, or give the worker a larger one in its document"},
	{"No space left on device", fault.Refused, "make room on the disk, or give the worker a larger one in its document"},
	{"is locked by another process", fault.Busy, "another program installs packages: wait until it ends"},
	{"Could not get lock", fault.Busy, "another program installs packages: wait until it ends"},
	{dpkgInterrupted, fault.Unavailable, "run dpkg --configure -a in the guest, and look which package it cannot configure"},
	{"Unable to locate package", fault.Unavailable, "the package repositories of this guest do not have it: check the branch in spec.driver, the mirror, and that the running kernel is a current one"},
	{"has no installation candidate", fault.Unavailable, "the package repositories of this guest do not have it: check the branch in spec.driver, the mirror, and that the running kernel is a current one"},
	{"is not signed", fault.Refused, "add the signing key of the repository to the guest"},
	{"NO_PUBKEY", fault.Refused, "add the signing key of the repository to the guest"},
	{"unmet dependencies", fault.Failed, "run apt-get -f install in the guest, and look which repository has another version"},
	{"held broken packages", fault.Failed, "run apt-mark showhold in the guest, and look which held package is in the way"},
	{"Temporary failure resolving", fault.Unavailable, "check the guest's DNS, or name a mirror"},
	{"Failed to fetch", fault.Unavailable, "check the network between the guest and the mirror that the message names"},
}

// packageError explains why a package manager failed. Unavailable and Busy are tried again.
func packageError(c run.Command, result run.Result) error {
	problem := &fault.Error{Kind: fault.Unavailable, Doing: "install packages", Why: result.Problem(c), Fix: "the output is in the log"}
	if result.State == run.NotFound {
		problem.Kind, problem.Fix = fault.Unsupported, "use a guest that has it"
	}
	for _, f := range packageFailures {
		if strings.Contains(result.Output, f.message) {
			problem.Kind, problem.Fix = f.kind, f.fix
			break
		}
	}
	return problem
}

func packagesKey(j *job) string {
	in, err := j.install()
	if err != nil {
		return "no packages"
	}
	return strings.Join(append(in.Packages, j.orders.Driver.Version), " ")
}

func packagesInstalled(j *job) bool {
	in, err := j.install()
	missing := slices.ContainsFunc(in.Packages, func(name string) bool { return !j.guest.Packages.Installed(name) })
	held := j.guest.Family != look.Debian || j.allHeld(j.pinned())
	return err == nil && !missing && held && !j.guest.Packages.Unfinished && j.hasAll(in.Files)
}

// installPackages installs the driver for the running kernel and holds it.
func installPackages(ctx context.Context, j *job) error {
	in, err := j.install()
	if err != nil {
		return &fault.Error{Kind: fault.Unsupported, Doing: "choose the packages of the driver", Cause: err, Fix: "correct spec.driver, or choose another strategy"}
	}
	if err := j.writeAll(in.Files); err != nil {
		return err
	}
	if in.Stream != "" {
		if err := j.must(ctx, run.Command{Name: "dnf", Args: []string{"-y", "module", "enable", in.Stream}, Timeout: refreshTimeout}); err != nil {
			return err
		}
	}
	return install(ctx, j, in.Packages)
}

func toolkitInstalled(j *job) bool { return j.guest.Toolkit == look.There }

// installToolkit installs the container toolkit from the repository of the order, or from
// those that the guest has.
func installToolkit(ctx context.Context, j *job) error {
	manager := driver.Apt
	if j.guest.Family == look.RedHat {
		manager = driver.Dnf
	}
	if err := j.writeAll(driver.RepositoryFiles(j.orders.Driver, manager)); err != nil {
		return err
	}
	return install(ctx, j, []string{"nvidia-container-toolkit"})
}

// install installs packages, and holds those of the driver.
func install(ctx context.Context, j *job, names []string) error {
	if j.guest.Family == look.RedHat {
		return j.must(ctx, run.Command{Name: "dnf", Args: slices.Concat([]string{"-y", "--disableexcludes=main", "--setopt=install_weak_deps=False", "install"}, names), Timeout: installTimeout})
	}
	if j.guest.Packages.Unfinished || j.unfinished { // an earlier run was killed
		if err := j.must(ctx, run.Command{Name: "dpkg", Args: []string{"--configure", "-a"}, Env: quietly, Timeout: installTimeout}); err != nil {
			return err
		}
	}
	if err := j.must(ctx, aptGet(refreshTimeout, "update")); err != nil {
		return err
	}
	if err := j.must(ctx, aptGet(installTimeout, slices.Concat([]string{"install", "--no-install-recommends", "--allow-change-held-packages"}, names)...)); err != nil {
		return err
	}
	j.look(ctx)
	return hold(ctx, j, j.pinned())
}

// dnfLine excludes packages of driver and kernel from updates (dnf.conf(5)).
const dnfLine = "excludepkgs=kernel*,kmod-nvidia*,nvidia*"

var errDnfExcludes = errors.New("etc/dnf/dnf.conf does not exclude driver and kernel")

// dnfExcludes looks whether dnf leaves driver and kernel alone.
func dnfExcludes(j *job) error {
	data, err := j.Tree.ReadFile(dnfFile)
	if err == nil && !strings.Contains("\n"+string(data), "\n"+dnfLine+"\n") {
		return errDnfExcludes
	}
	return err
}

// excludeInDnf adds a line to the section [main]. Other excludes are not touched: dnf
// would take only one of two lines.
func excludeInDnf(j *job) error {
	data, err := j.Tree.ReadFile(dnfFile)
	if err != nil {
		return fmt.Errorf("read /%s: %w", dnfFile, err)
	}
	text := string(data)
	for line := range strings.Lines(text) {
		if name, _, _ := strings.Cut(line, "="); strings.HasPrefix(strings.TrimSpace(name), "exclude") {
			return &fault.Error{Kind: fault.Refused, Doing: "hold updates", Why: "/" + dnfFile + " has excludes of its own", Fix: "add to them by hand: " + strings.TrimPrefix(dnfLine, "excludepkgs=")}
		}
	}
	before, after, found := strings.Cut(text, "[main]\n")
	if !found {
		return &fault.Error{Kind: fault.Refused, Doing: "hold updates", Why: "/" + dnfFile + " has no section [main]", Fix: "add it with the line " + dnfLine}
	}
	return j.Files.Write(dnfFile, []byte(before+"[main]\n# "+writtenBy+"\n"+dnfLine+"\n"+after), publicMode)
}
