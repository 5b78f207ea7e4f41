package steps

import (
	"context"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/guest/check"
	"github.com/gpuworker/gpuworker/internal/guest/look"
	"github.com/gpuworker/gpuworker/internal/guest/nvidia"
	"github.com/gpuworker/gpuworker/internal/guest/run"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// Timeouts of commands. Loading the driver starts the card, which takes up to a minute.
const (
	moduleTimeout    = 3 * time.Minute
	initramfsTimeout = 10 * time.Minute
	serviceTimeout   = 2 * time.Minute
)

func nouveauAway(j *job) bool {
	return j.has(nouveauFile, j.nouveauText()) && !j.guest.Modules.Has("nouveau")
}

// nouveauText is the content of the file that keeps nouveau away: that of package driver
// for the strategies that load modules, the same settings for the others.
func (j *job) nouveauText() string {
	for _, f := range j.loading().Files {
		if relative(f.Path) == nouveauFile {
			return f.Content
		}
	}
	return nouveauText
}

// keepNouveauAway writes the file first and unloads nouveau last, so that a killed run
// still sees it loaded and does all of it again.
func keepNouveauAway(ctx context.Context, j *job) error {
	if err := j.write(nouveauFile, j.nouveauText()); err != nil {
		return err
	}
	if !j.guest.Modules.Has("nouveau") {
		return nil
	}
	if err := updateInitramfs(ctx, j); err != nil {
		return err
	}
	remove := run.Command{Name: "modprobe", Args: []string{"-r", "nouveau"}, Timeout: moduleTimeout}
	result, err := j.run(ctx, remove)
	switch {
	case err != nil:
		return err
	case !result.OK():
		return &fault.Error{
			Kind: fault.Refused, Doing: "unload nouveau", Why: "it is in use, and it is not unloaded by force: " + result.Problem(remove),
			Fix: "restart the VM once: nouveau is then not loaded; on the desk: " + shell.Command("gpuworker park %s", j.orders.Worker) + ", then " + shell.Command("gpuworker unpark %s", j.orders.Worker),
		}
	}
	return nil
}

// updateInitramfs puts the new file into the initramfs: nouveau was loaded, so it may be
// loaded from there at the next boot.
func updateInitramfs(ctx context.Context, j *job) error {
	c := run.Command{Name: "update-initramfs", Args: []string{"-u", "-k", "all"}, Timeout: initramfsTimeout}
	if j.guest.Family == look.RedHat {
		c = run.Command{Name: "dracut", Args: []string{"--force", "--regenerate-all"}, Timeout: initramfsTimeout}
	}
	result, err := j.run(ctx, c)
	switch {
	case err != nil:
		return err
	case result.OK(), result.State == run.NotFound: // a guest may have no initramfs
		return nil
	}
	return &fault.Error{Kind: fault.Failed, Doing: "update the initramfs", Why: result.Problem(c), Fix: "run it by hand: " + c.String()}
}

func optionsSet(j *job) bool { return j.hasAll(j.loading().Files) }

// setOptions writes which modules are loaded at boot, and their options: NVLink off for a
// single card of an SXM board. They take effect when the driver is loaded; verify looks at
// the effect.
func setOptions(_ context.Context, j *job) error { return j.writeAll(j.loading().Files) }

func modulesLoaded(j *job) bool {
	if j.guest.Driver == nil || !j.guest.Modules.Has("nvidia_uvm") {
		return false
	}
	for _, f := range j.report.Findings {
		if f.ID == finding.DriverDeviceFiles {
			return f.Verdict == finding.Pass
		}
	}
	return false
}

func loadModules(ctx context.Context, j *job) error {
	for _, module := range j.loading().Load {
		if err := loadModule(ctx, j, module); err != nil {
			return err
		}
	}
	if j.look(ctx); modulesLoaded(j) {
		return nil
	}
	c := run.Command{Name: "nvidia-modprobe", Args: []string{"-c", "0", "-u"}, Timeout: moduleTimeout}
	result, err := j.run(ctx, c)
	switch {
	case err != nil:
		return err
	case !result.OK():
		return &fault.Error{Kind: fault.Failed, Doing: "make the device files", Why: result.Problem(c), Fix: "install nvidia-modprobe, then run: gpuworker-guest bootstrap"}
	}
	return nil
}

// loadModule loads a module of the driver and says why it does not load.
func loadModule(ctx context.Context, j *job, module string) error {
	c := run.Command{Name: "modprobe", Args: []string{module}, Timeout: moduleTimeout}
	result, err := j.run(ctx, c)
	switch {
	case err != nil:
		return err
	case result.OK():
		return nil
	}
	problem := &fault.Error{Kind: fault.Failed, Doing: "load the module " + module, Why: result.Problem(c), Fix: "look for NVRM in the output of dmesg"}
	if nvidia.KeyRejected(result.Output) {
		problem.Kind = fault.Refused
		problem.Fix = "Secure Boot is on and does not know the key of the module: use signed modules (on Ubuntu strategy Packages), or turn Secure Boot off in the VM; see gpuworker-guest explain DRIVER-SECURE-BOOT"
		return problem
	}
	// The findings name other causes: nouveau, modules for another kernel.
	j.look(ctx)
	cause := reason(j, func(f check.Finding) bool {
		return f.Verdict == finding.Fail && (f.ID == finding.DriverNouveau || f.ID == finding.DriverOtherKernel || f.ID == finding.DriverGSP)
	})
	if cause != nil {
		problem.Kind, problem.Fix, problem.Cause = fault.Refused, "", cause
	}
	return problem
}

// startPersistence keeps the driver's state while no program uses the card, so that the
// first program does not wait for the card to start.
func startPersistence(ctx context.Context, j *job) error {
	start := run.Command{Name: "systemctl", Args: []string{"start", "nvidia-persistenced.service"}, Timeout: serviceTimeout}
	result, err := j.run(ctx, start)
	if err != nil || result.OK() {
		return err
	}
	mode := run.Command{Name: "nvidia-smi", Args: []string{"-pm", "1"}, Timeout: serviceTimeout}
	legacy, err := j.run(ctx, mode)
	if err != nil || legacy.OK() {
		return err
	}
	return &fault.Error{Kind: fault.Failed, Doing: "start nvidia-persistenced", Why: result.Problem(start), Fix: "journalctl -u nvidia-persistenced; the worker works without it, its first program starts slower"}
}
