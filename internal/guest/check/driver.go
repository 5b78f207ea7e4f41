package check

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/guest/look"
	"github.com/gpuworker/gpuworker/internal/guest/nvidia"
	"github.com/gpuworker/gpuworker/internal/guest/run"
	"github.com/gpuworker/gpuworker/internal/shell"
)

const (
	// bootstrapAgain is the fix for what the bootstrap does.
	bootstrapAgain = "run: gpuworker-guest bootstrap"
)

// restartVM is the fix for what a new start of the VM changes. It names the commands that
// drain the node, stop and start the VM.
func (f *facts) restartVM() string {
	worker := "NAME"
	if f.orders != nil {
		worker = f.orders.Worker
	}
	return "restart the VM; on the desk: " + shell.Command("gpuworker park %s", worker) + ", then " + shell.Command("gpuworker unpark %s", worker)
}

// resetCard is the fix for what only a new start of the VM by the hypervisor changes.
func (f *facts) resetCard() string {
	return "stop and start the VM, because a reboot in the guest does not reset the card; on the desk: " + strings.TrimPrefix(f.restartVM(), "restart the VM; on the desk: ")
}

// byStrategy is the fix for a driver that is not as ordered.
func (f *facts) byStrategy() string {
	switch f.order().Strategy {
	case driver.Preinstalled:
		return "make a template with the declared driver, seal it, and replace the worker; or declare the driver that the template has"
	case driver.Ansible:
		return "run the playbook that installs the driver, then: gpuworker-guest check"
	case driver.Packages, driver.Operator, driver.None:
	}
	return bootstrapAgain
}

// changeLoaded is the fix for another driver than the ordered one that is loaded already.
func (f *facts) changeLoaded() string {
	if f.order().Strategy == driver.Packages {
		return bootstrapAgain + "; the loaded driver changes only when the VM restarts: " + f.restartVM()
	}
	return f.byStrategy()
}

func checkTemplate(f *facts) []Finding {
	const id = finding.DriverTemplateOld
	o := f.order()
	if o.Strategy != driver.Preinstalled || f.Template == nil {
		return nil
	}
	t := f.Template
	declared := o.Version
	if declared == "" {
		declared = o.Branch
	}
	switch {
	case t.Kind == guest.NoDriver || t.Driver == "":
		return fix(found(id, finding.Fail, "the template was sealed without a driver", of(f.MarkerFile)), f.byStrategy())
	case declared != "" && older(t.Driver, declared):
		return fix(found(id, finding.Fail, fmt.Sprintf("the template has driver %s, older than the declared %s", t.Driver, declared), of(f.MarkerFile)), f.byStrategy())
	}
	return found(id, finding.Pass, "the template was sealed with driver "+t.Driver)
}

// older reports whether version a is older than b. Only the parts that b has count:
// 580.95.05 is not older than 580.
func older(a, b string) bool {
	left, right := strings.Split(a, "."), strings.Split(b, ".")
	for i := range right {
		if i >= len(left) {
			return true
		}
		x, _ := strconv.Atoi(left[i])
		y, _ := strconv.Atoi(right[i])
		if x != y {
			return x < y
		}
	}
	return false
}

func checkNouveau(f *facts) []Finding {
	const id = finding.DriverNouveau
	bound := slices.ContainsFunc(f.GPUs, func(g look.GPU) bool { return g.Driver == "nouveau" })
	switch {
	case bound && f.order().Strategy == driver.None:
		return found(id, finding.Info, "nouveau has the GPU; no driver is ordered", line(f.Modules.File, "nouveau"))
	case bound:
		return fix(found(id, finding.Fail, "nouveau has the GPU", Evidence{From: "/sys/bus/pci/devices/" + f.GPUs[0].BDF.String() + "/driver", Says: "nouveau"}),
			bootstrapAgain+"; if nouveau is in use, "+f.restartVM())
	case !f.Modules.File.OK():
		return fix(found(id, finding.Unknown, "the loaded modules could not be read", of(f.Modules.File)), asRoot)
	case f.Modules.Has("nouveau"):
		return found(id, finding.Info, "nouveau is loaded, but it does not have the GPU", line(f.Modules.File, "nouveau"))
	}
	return found(id, finding.Pass, "nouveau is not loaded")
}

// keyRejected finds the message with which the kernel refused a module.
func (f *facts) keyRejected() (e Evidence, rejected bool) {
	for text := range strings.Lines(f.Log.Body) {
		if nvidia.KeyRejected(text) {
			return line(f.Log, text), true
		}
	}
	if f.Status != nil {
		for _, step := range f.Status.Steps {
			if step.State == guest.StepFailed && nvidia.KeyRejected(step.Problem) {
				return Evidence{From: guest.StatusFile, Says: step.Problem}, true
			}
		}
	}
	return Evidence{}, false
}

func checkSecureBoot(f *facts) []Finding {
	const id = finding.DriverSecureBoot
	evidence, rejected := f.keyRejected()
	switch {
	case f.Driver != nil:
		return found(id, finding.Pass, "the driver's modules are loaded")
	case f.Secure.State == look.SecureOff:
		return found(id, finding.Pass, "Secure Boot is off")
	case rejected:
		return fix(found(id, finding.Fail, "the kernel rejects the driver's modules: their key is not known to Secure Boot", evidence, line(f.Secure.File, "Secure Boot is "+string(f.Secure.State))),
			"use modules that are signed with a known key (on Ubuntu strategy Packages), or turn Secure Boot off in the VM: an EFI disk with pre-enrolled-keys=0")
	case f.Secure.State == look.SecureUnknown:
		return fix(found(id, finding.Unknown, "it is not known whether Secure Boot is on", of(f.Secure.File)), asRoot)
	}
	return found(id, finding.Info, "Secure Boot is on: the modules must be signed with a key that it knows", of(f.Secure.File))
}

func checkLoaded(f *facts) []Finding {
	_, rejected := f.keyRejected()
	kernels := strings.Join(f.Modules.Kernels, ", ")
	modules := Evidence{From: "/lib/modules", Says: "kernels with a module nvidia: " + kernels}
	if kernels == "" {
		modules.Says = "no installed kernel has a module nvidia"
	}
	switch {
	case f.Driver != nil:
		return found(finding.DriverMissing, finding.Pass, "driver "+f.Driver.Version+" is loaded")
	case f.orders != nil && !f.needs(): // the GPU Operator installs it later, or nobody does
		return found(finding.DriverMissing, finding.Info, "no driver is loaded, and with the strategy "+string(f.order().Strategy)+" none is needed before the join")
	case f.Version.Hidden() || f.Modules.Err != nil:
		return fix(found(finding.DriverMissing, finding.Unknown, "it is not known whether the driver is loaded", of(f.Version)), asRoot)
	case f.Version.OK():
		return fix(found(finding.DriverMissing, finding.Unknown, "a driver is loaded, and its version has an unknown form", of(f.Version)), "run: nvidia-smi")
	case f.orders == nil:
		return found(finding.DriverMissing, finding.Unknown, "no driver is loaded; without orders it is not known whether one is needed", modules)
	case kernels != "" && !f.Modules.For(f.Kernel):
		return fix(found(finding.DriverOtherKernel, finding.Fail, fmt.Sprintf("the driver's modules are not installed for the running kernel %s", f.Kernel), modules),
			f.byStrategy()+"; if they are for a newer kernel, "+f.restartVM())
	case rejected && f.Secure.State != look.SecureOff: // DRIVER-SECURE-BOOT says why
		return found(finding.DriverMissing, finding.Fail, "the driver is not loaded, because Secure Boot rejects it", modules)
	case kernels != "":
		return fix(found(finding.DriverMissing, finding.Fail, "the driver is installed and not loaded", of(f.Version), modules), "run: modprobe nvidia; it prints the reason")
	}
	return fix(found(finding.DriverMissing, finding.Fail, "the driver is not installed", of(f.Version), modules), f.byStrategy())
}

func checkVersion(f *facts) []Finding {
	const id = finding.DriverVersion
	o := f.order()
	if f.Driver == nil || o.Branch == "" && o.Version == "" {
		return nil
	}
	branch, _, _ := strings.Cut(f.Driver.Version, ".")
	switch {
	case o.Version != "" && f.Driver.Version != o.Version:
		return fix(found(id, finding.Fail, fmt.Sprintf("driver %s is loaded, and %s is ordered", f.Driver.Version, o.Version), of(f.Version)), f.changeLoaded())
	case o.Branch != "" && branch != o.Branch:
		return fix(found(id, finding.Fail, fmt.Sprintf("driver %s is loaded, and branch %s is ordered", f.Driver.Version, o.Branch), of(f.Version)), f.changeLoaded())
	}
	return found(id, finding.Pass, "driver "+f.Driver.Version+" is as ordered")
}

func word(open bool) string {
	if open {
		return "open"
	}
	return "proprietary"
}

func modulesOf(open bool) driver.Modules { return driver.Order{Open: open}.Modules() }

func checkFlavour(f *facts) []Finding {
	const id = finding.DriverFlavour
	if f.Driver == nil {
		return nil
	}
	for _, gpu := range f.GPUs {
		model, known := driver.Lookup(gpu.ID)
		if known && !model.Architecture.Supports(modulesOf(f.Driver.Open)) {
			return fix(found(id, finding.Fail, fmt.Sprintf("GPU %s does not work with the %s kernel modules", gpu.ID, word(f.Driver.Open)), of(f.Version)), "correct spec.driver in the document, then "+f.restartVM())
		}
	}
	if o := f.order(); f.needs() && o.Branch != "" && !o.AnyModules && f.Driver.Open != o.Open {
		return fix(found(id, finding.Fail, fmt.Sprintf("the %s kernel modules are loaded, and the %s ones are ordered", word(f.Driver.Open), word(o.Open)), of(f.Version)), f.changeLoaded())
	}
	return found(id, finding.Pass, "the "+word(f.Driver.Open)+" kernel modules are loaded")
}

func checkLibrary(f *facts) []Finding {
	const id = finding.DriverLibrary
	if f.Driver == nil {
		return nil
	}
	library := Evidence{From: "libnvidia-ml.so.1", Says: "version " + f.Library}
	switch {
	case nvidia.Mismatch(f.SMI.Output):
		return fix(found(id, finding.Fail, "the libraries are newer than the loaded driver "+f.Driver.Version, Evidence{From: look.SMI.String(), Says: f.SMI.Output}), f.restartVM())
	case f.Library != "" && f.Library != f.Driver.Version:
		return fix(found(id, finding.Fail, fmt.Sprintf("the libraries have version %s, and driver %s is loaded", f.Library, f.Driver.Version), library, of(f.Version)), f.restartVM())
	case f.Library == "" && !f.SMI.OK():
		return found(id, finding.Unknown, "the version of the driver's libraries is not known", Evidence{From: "libnvidia-ml.so.1", Says: "was not found"})
	}
	return found(id, finding.Pass, "the libraries have the version of the driver")
}

func checkAnswer(f *facts) []Finding {
	if f.Driver == nil || nvidia.Mismatch(f.SMI.Output) {
		return nil
	}
	failure, failed := nvidia.FirmwareFailure(f.Log.Body)
	answer := Evidence{From: look.SMI.String(), Says: f.SMI.Output}
	switch {
	case f.SMI.OK() && len(f.Listed) > 0 && failed:
		return append(found(finding.DriverGSP, finding.Info, "the card's firmware failed once and works now", line(f.Log, failure)), found(finding.DriverNoAnswer, finding.Pass, "nvidia-smi lists the GPU")...)
	case f.SMI.OK() && len(f.Listed) > 0:
		return found(finding.DriverNoAnswer, finding.Pass, "nvidia-smi lists the GPU")
	case failed:
		return fix(found(finding.DriverGSP, finding.Fail, "the card's firmware does not start", line(f.Log, failure), answer), f.resetCard())
	case f.SMI.State == run.Ended && f.SMI.Output == "" && f.SMI.Code == 0:
		return fix(found(finding.DriverNoAnswer, finding.Fail, "nvidia-smi lists no GPU", answer), "look for NVRM in the output of dmesg; "+f.resetCard())
	case f.SMI.State != run.Ended:
		return fix(found(finding.DriverNoAnswer, finding.Unknown, f.SMI.Problem(look.SMI)), "run: nvidia-smi -L")
	}
	return fix(found(finding.DriverNoAnswer, finding.Fail, f.SMI.Problem(look.SMI), answer), "look for NVRM in the output of dmesg; "+f.resetCard())
}

// isSXM reports whether a GPU is a module of a board whose GPUs are connected by NVLink.
func isSXM(g look.GPU) bool {
	model, known := driver.Lookup(g.ID)
	return known && model.SXM
}

func checkNVLink(f *facts) []Finding {
	const id = finding.DriverNVLink
	if f.Driver == nil || !slices.ContainsFunc(f.GPUs, isSXM) {
		return nil
	}
	value, known := nvidia.Param(f.Params.Body, "NvLinkDisable")
	evidence := line(f.Params, "NvLinkDisable: "+value)
	switch {
	case !known:
		return found(id, finding.Unknown, "it is not known whether NVLink is off, as a single card of an SXM board needs it", of(f.Params))
	case value == "1":
		return found(id, finding.Pass, "NVLink is off, as a single card of an SXM board needs it")
	case f.order().NoNVLink:
		return fix(found(id, finding.Fail, "NVLink is on, and the orders want it off", evidence), bootstrapAgain+", then "+f.restartVM())
	}
	return fix(found(id, finding.Unknown, "the GPU is one of an SXM board and NVLink is on: CUDA may fail with error 802, system not yet initialized", evidence),
		"set disableNVLink: true in spec.driver, unless all cards of the board are in this VM")
}

// gpuFile is the device file of a GPU.
var gpuFile = regexp.MustCompile(`^nvidia[0-9]+$`)

func checkDeviceFiles(f *facts) []Finding {
	const id = finding.DriverDeviceFiles
	if f.Driver == nil {
		return nil
	}
	if f.DevErr != nil {
		return fix(found(id, finding.Unknown, "the device files could not be listed", Evidence{From: "/dev", Says: f.DevErr.Error()}), asRoot)
	}
	var missing []string
	if !slices.ContainsFunc(f.DeviceFiles(), gpuFile.MatchString) {
		missing = append(missing, "/dev/nvidia0")
	}
	for _, name := range []string{"nvidiactl", "nvidia-uvm"} {
		if !f.Devices[name] {
			missing = append(missing, "/dev/"+name)
		}
	}
	if len(missing) > 0 {
		return fix(found(id, finding.Fail, "missing: "+strings.Join(missing, ", "), Evidence{From: "/dev", Says: "has " + strings.Join(f.DeviceFiles(), " ")}), bootstrapAgain+", or as root: nvidia-modprobe -c 0 -u")
	}
	return found(id, finding.Pass, "all device files are there")
}

func checkUUID(f *facts) []Finding {
	const id = finding.DriverGPUUUID
	if f.Driver == nil || f.orders == nil || f.orders.GPU == nil || len(f.GPUs) != 1 {
		return nil
	}
	recorded, seen := f.orders.GPU.UUID, f.GPUs[0].UUID
	evidence := Evidence{From: look.SMI.String(), Says: seen}
	switch {
	case seen == "":
		return fix(found(id, finding.Unknown, "the UUID of the GPU is not known", Evidence{From: look.SMI.String(), Says: f.SMI.Output}), "run: nvidia-smi -L")
	case recorded == "":
		return found(id, finding.Pass, "the GPU is "+seen+"; none was recorded yet")
	case seen != recorded:
		return fix(found(id, finding.Fail, fmt.Sprintf("the GPU is %s, and the worker was proven with %s", seen, recorded), evidence, Evidence{From: guest.OrdersFile, Says: recorded}),
			"look which card the VM has; if it was exchanged on purpose, record the new one on the desk: gpuworker accept "+f.orders.Worker+" --gpu-uuid "+seen)
	}
	return found(id, finding.Pass, "the GPU is the recorded one")
}

func checkToolkit(f *facts) []Finding {
	const id = finding.DriverToolkit
	if !f.order().Toolkit {
		return nil
	}
	switch f.Toolkit {
	case look.There:
		return found(id, finding.Pass, "the container toolkit is installed")
	case look.Missing:
		return fix(found(id, finding.Fail, "nvidia-container-runtime is not installed", Evidence{From: "/usr/bin/nvidia-container-runtime", Says: "does not exist"}), bootstrapAgain)
	case look.Unknown:
	}
	return fix(found(id, finding.Unknown, "it is not known whether the container toolkit is installed"), asRoot)
}
