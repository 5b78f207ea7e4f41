package check

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/guest/look"
	"github.com/gpuworker/gpuworker/internal/shell"
)

func checkOrders(f *facts) []Finding {
	const id = finding.GuestOrders
	again := "run gpuworker apply on the desk: it writes the orders again"
	switch {
	case f.OrdersFile.Absent():
		return fix(found(id, finding.Unknown, "the guest has no orders, so it is not known which driver and GPU it must have", of(f.OrdersFile)), "in a worker, "+again+"; in a template this is normal")
	case f.OrdersFile.Hidden():
		return fix(found(id, finding.Unknown, "the orders may not be read", of(f.OrdersFile)), asRoot)
	case f.OrdersErr != nil:
		return fix(found(id, finding.Fail, "the orders are damaged", Evidence{From: guest.OrdersFile, Says: f.OrdersErr.Error()}), again)
	case !f.UUID.OK():
		return fix(found(id, finding.Unknown, "the UUID of this VM may not be read, so it is not known whether the orders are for it", of(f.UUID)), asRoot)
	case f.orders == nil:
		sealing := shell.Command("gpuworker-guest seal --worker %s --yes", f.Orders.Worker)
		return fix(found(id, finding.Fail, fmt.Sprintf("the orders are for worker %s in another VM: this VM is a copy of it", f.Orders.Worker),
			of(f.UUID), Evidence{From: guest.OrdersFile, Says: "uuid " + f.Orders.UUID}),
			"destroy this copy; or, to make a template of it: "+sealing)
	}
	return found(id, finding.Pass, "the orders are for this VM: worker "+f.orders.Worker)
}

func checkCloudInit(f *facts) []Finding {
	const id = finding.GuestCloudInit
	c := f.CloudInit
	switch {
	case c.File.Absent():
		return found(id, finding.Info, "cloud-init did not run", of(c.File))
	case c.File.Hidden():
		return fix(found(id, finding.Unknown, "the status of cloud-init may not be read", of(c.File)), asRoot)
	case c.Broken:
		return fix(found(id, finding.Unknown, "the status of cloud-init has an unknown form", of(c.File)), "run: cloud-init status --long")
	case len(c.Errors) > 0:
		var evidence []Evidence
		for _, e := range c.Errors[:min(len(c.Errors), 5)] {
			evidence = append(evidence, line(c.File, e.Stage+": "+e.Error))
		}
		return fix(found(id, finding.Fail, fmt.Sprintf("stage %s of cloud-init failed", c.Errors[0].Stage), evidence...),
			"read /var/log/cloud-init.log; cloud-init does not repeat a failed module")
	case c.Running != "":
		return found(id, finding.Unknown, "cloud-init is still in its stage "+c.Running, of(c.File))
	}
	return found(id, finding.Pass, "all stages of cloud-init ended without errors")
}

// Digest is how a template's marker stores an identity: its SHA-256, in hexadecimal.
func Digest(identity string) string {
	if identity = strings.TrimSpace(identity); identity == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(identity))
	return hex.EncodeToString(sum[:])
}

// isOurSeed reports whether cloud-init runs from our seed, whose instance-id is the UUID of
// the VM and never changes. That of Proxmox's own drive changes with its settings.
func (f *facts) isOurSeed() bool {
	return f.orders != nil && strings.EqualFold(f.CloudInit.Instance, f.orders.UUID)
}

func checkSealed(f *facts) []Finding {
	const id = finding.GuestNotSealed
	seal := "start the template's VM, run gpuworker-guest seal --yes there, shut it down, and replace this worker"
	preinstalled := f.order().Strategy == driver.Preinstalled
	if t := f.Template; t != nil {
		for _, has := range []struct {
			what, digest string
			file         look.Text
		}{{"machine-id", t.MachineID, f.MachineID}, {"cattle-id", t.CattleID, f.CattleID}} {
			switch {
			case has.digest != "" && has.file.Hidden():
				return fix(found(id, finding.Unknown, "the "+has.what+" may not be read", of(has.file)), asRoot)
			case has.digest != "" && Digest(has.file.Body) == has.digest:
				return fix(found(id, finding.Fail, "the "+has.what+" is that of the template", of(has.file)), seal)
			}
		}
	}
	switch c := f.CloudInit; {
	case c.Previous != "" && c.Previous != c.Instance && f.isOurSeed():
		return fix(found(id, finding.Fail, "this disk was started as another VM before: the template was not sealed",
			Evidence{From: "/var/lib/cloud/data/previous-instance-id", Says: c.Previous}, Evidence{From: "/var/lib/cloud/data/instance-id", Says: c.Instance}), seal)
	case f.MarkerFile.Hidden():
		return fix(found(id, finding.Unknown, "the marker of the template cannot be read", of(f.MarkerFile)), asRoot)
	case f.Template == nil && preinstalled:
		return fix(found(id, finding.Fail, "the template was not sealed, so its driver is not known", of(f.MarkerFile)), seal)
	}
	return found(id, finding.Pass, "no identity of the template was found")
}

func checkBootstrap(f *facts) []Finding {
	const id = finding.GuestBootstrap
	if f.Status == nil || f.orders == nil || !strings.EqualFold(f.Status.UUID, f.orders.UUID) {
		return nil
	}
	for _, step := range f.Status.Steps {
		if step.State == guest.StepFailed {
			fixing := step.Fix
			if fixing == "" {
				fixing = "read " + guest.LogFile + ", then run: gpuworker-guest bootstrap"
			}
			return fix(found(id, finding.Fail, fmt.Sprintf("step %s failed: %s", step.Name, strings.TrimSuffix(step.Problem, ".")),
				Evidence{From: guest.StatusFile, Says: fmt.Sprintf("%s: tries: %d", step.Name, step.Tries)}), fixing)
		}
	}
	return found(id, finding.Pass, "no step of the bootstrap failed")
}

func checkUpdates(f *facts) []Finding {
	const id = finding.GuestUpdates
	u := f.Updates
	switch {
	case f.plain():
		return nil
	case u.Err != nil:
		return fix(found(id, finding.Unknown, "it is not known whether driver or kernel are updated automatically", Evidence{From: "package configuration", Says: u.Err.Error()}), asRoot)
	case !u.On:
		return found(id, finding.Pass, "automatic updates are off")
	case len(u.Exposed) > 0:
		shown := strings.Join(u.Exposed[:min(len(u.Exposed), 3)], ", ")
		return fix(found(id, finding.Fail, fmt.Sprintf("automatic updates may change packages of driver or kernel: %s", shown), Evidence{From: "/" + u.File, Says: fmt.Sprintf("automatic updates are on; packages at risk: %d", len(u.Exposed))}),
			"run: gpuworker-guest bootstrap, which keeps them away")
	}
	return found(id, finding.Pass, "automatic updates spare driver and kernel")
}

func checkCard(f *facts) []Finding {
	const where = "/sys/bus/pci/devices"
	var all []string
	matching := 0
	for _, gpu := range f.GPUs {
		all = append(all, gpu.BDF.String()+" "+gpu.ID.String())
		if f.orders != nil && f.orders.GPU != nil && gpu.ID.String() == f.orders.GPU.ID {
			matching++
		}
	}
	evidence := Evidence{From: where, Says: "NVIDIA GPUs: " + strings.Join(all, ", ")}
	if len(all) == 0 {
		evidence.Says = "no NVIDIA GPU"
	}
	restart := "on the desk run gpuworker status: it shows the card of the VM; if it has the right one, stop and start the VM"
	switch {
	case f.GPUsErr != nil:
		return fix(found(finding.GuestNoGPU, finding.Unknown, "the PCI devices could not be listed", Evidence{From: where, Says: f.GPUsErr.Error()}), asRoot)
	case f.plain() && len(all) == 0:
		return nil
	case f.plain():
		return found(finding.GuestExtraGPU, finding.Info, "this is a worker without a GPU, and the VM has one", evidence)
	case f.orders == nil:
		return found(finding.GuestNoGPU, finding.Info, "without orders it is not known which GPU the guest must have", evidence)
	case len(all) == 0:
		return fix(found(finding.GuestNoGPU, finding.Fail, "the GPU "+f.orders.GPU.ID+" is not in the guest", evidence), restart)
	case matching == 0:
		return fix(found(finding.GuestNoGPU, finding.Fail, "the guest has another GPU than the ordered "+f.orders.GPU.ID, evidence), restart)
	case len(all) > 1:
		return fix(found(finding.GuestExtraGPU, finding.Fail, fmt.Sprintf("the guest has %d GPUs, and a worker has exactly one", len(all)), evidence),
			"stop the VM and remove the card that is not the worker's from its configuration; gpuworker status shows the right one")
	}
	return append(found(finding.GuestNoGPU, finding.Pass, "the guest has the GPU "+f.orders.GPU.ID), found(finding.GuestExtraGPU, finding.Pass, "it has no other GPU")...)
}
