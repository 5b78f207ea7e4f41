package pvesim

import (
	"encoding/json"
	"fmt"
	"time"
)

// The bootstrap of a simulated guest: four steps, of which each takes a quarter of the
// time.

const bootstrapSteps = 4

// bootstrapStatus is the status that the program would have written by now.
func (v *vm) bootstrapStatus(s *Sim, now time.Time) modelStatus {
	status := modelStatus{Version: 1, Program: "pvesim", UUID: smbiosFormat.parse(v.run.conf["smbios1"])["uuid"], BootID: v.run.boot.id,
		OS: v.guest.OS, Kernel: "6.8.0-45-generic", Steps: []modelStep{}, Findings: []modelFinding{}, Updated: now.UTC()}
	var orders modelOrders
	err := json.Unmarshal([]byte(v.files[guestOrders]), &orders)
	if err != nil || orders.UUID != status.UUID {
		status.fail("GUEST-ORDERS", "the orders are not for this VM", "write the orders of this VM")
	}
	h := s.hosts[v.node]
	driver := v.loadedDriver(orders)
	problems := v.problems(orders, v.gpus(h, driver != nil))
	for i, name := range []string{"card", "packages", "modules", "verify"} {
		step := modelStep{Name: name, Key: v.ordersKey()[:12], Tries: 1, State: "Done"}
		step.Began = v.run.boot.began.Add(v.run.boot.takes * time.Duration(i) / bootstrapSteps).UTC()
		step.Ended = v.run.boot.began.Add(v.run.boot.takes * time.Duration(i+1) / bootstrapSteps).UTC()
		problem, failed := problems[name]
		switch {
		case len(status.Findings) > 0 || now.Before(step.Began):
			step = modelStep{Name: name, State: "Pending"}
		case now.Before(step.Ended) || v.guest.fails(GuestHangs) && name == "packages":
			step.State, step.Ended = "Running", time.Time{}
			status.Steps = append(status.Steps, step)
			return status.pad(v, i)
		case failed:
			step.State, step.Problem, step.Fix = "Failed", problem.reason, problem.fix
			status.fail(problem.id, problem.reason, problem.fix)
		}
		status.Steps = append(status.Steps, step)
	}
	status.Driver, status.GPUs = driver, v.gpus(h, driver != nil)
	last := status.Steps[len(status.Steps)-1].State
	status.Ready = last == "Done" && len(status.Findings) == 0
	return status.hostile(v)
}

// pad adds the steps after a running one, and the GPUs, still without a driver.
func (m modelStatus) pad(v *vm, running int) modelStatus {
	for _, name := range []string{"card", "packages", "modules", "verify"}[running+1:] {
		m.Steps = append(m.Steps, modelStep{Name: name, State: "Pending"})
	}
	m.GPUs = []modelGPU{}
	return m.hostile(v)
}

// hostile puts hostile texts where the guest may write any.
func (m modelStatus) hostile(v *vm) modelStatus {
	if !v.guest.fails(GuestHostile) {
		return m
	}
	m.OS, m.Kernel, m.Program = hostileText, hostileText, hostileText
	m.Findings = append(m.Findings, modelFinding{ID: "GUEST-BOOTSTRAP-FAILED", Verdict: "fail", Reason: hostileText, Fix: "rm -rf / # " + hostileText})
	m.Ready = false
	return m
}

func (m *modelStatus) fail(id, reason, fix string) {
	m.Findings = append(m.Findings, modelFinding{ID: id, Verdict: "fail", Where: map[string]string{}, Reason: reason, Fix: fix})
}

type modelProblem struct{ id, reason, fix string }

// problems are what is wrong, by the step that finds it.
func (v *vm) problems(orders modelOrders, gpus []modelGPU) map[string]modelProblem {
	out := map[string]modelProblem{}
	if orders.GPU == nil {
		return out
	}
	if len(gpus) != 1 || gpus[0].ID != orders.GPU.ID {
		out["card"] = modelProblem{"GUEST-GPU-MISSING", fmt.Sprintf("the VM has %d GPUs, but its orders say one %s", len(gpus), orders.GPU.ID), "attach the card"}
		return out
	}
	if wantsDriver(orders) && v.loadedDriver(orders) == nil {
		out["modules"] = modelProblem{"DRIVER-MISSING", "modprobe: ERROR: could not insert 'nvidia': No such device", "read dmesg"}
	}
	if orders.GPU.UUID != "" && gpus[0].UUID != "" && gpus[0].UUID != orders.GPU.UUID {
		out["verify"] = modelProblem{"DRIVER-GPU-UUID", "the GPU is " + gpus[0].UUID + ", but was " + orders.GPU.UUID, "gpuworker accept"}
	}
	return out
}

func wantsDriver(orders modelOrders) bool {
	s := orders.Driver.Strategy
	return s == "Packages" || s == "Preinstalled" || s == "Ansible"
}

// loadedDriver is the driver that the guest has after its bootstrap: with Packages the
// ordered one, else that of its template.
func (v *vm) loadedDriver(orders modelOrders) *modelDriver {
	version := v.guest.Driver
	if orders.Driver.Strategy == "Packages" {
		version = orders.Driver.Version
		if version == "" {
			version = orders.Driver.Branch + ".95.05"
		}
	}
	if v.guest.fails(GuestNoDriver) || version == "" {
		return nil
	}
	return &modelDriver{Version: version, Open: orders.Driver.Open}
}
