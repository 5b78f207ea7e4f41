package pvesim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The programs of a simulated guest that tell its state.

// cloudInitProgram answers cloud-init status, in the form of cloud-init 22.4 to 25.
func cloudInitProgram(s *Sim, v *vm, call GuestCall) (GuestResult, error) {
	args := call.Command[1:]
	if !v.hasCloudInit() {
		return GuestResult{Missing: true}, nil
	}
	if len(args) == 0 || args[0] != "status" {
		return GuestResult{}, notSimulated("cloud-init in a guest other than cloud-init status")
	}
	result := GuestResult{}
	if slices.Contains(args, "--wait") {
		result.After = Duration(float64(max(0, time.Until(v.run.boot.cloudEnds))) * s.timeScale)
	}
	status, source := "done", v.disk.source
	switch {
	case !v.run.boot.seeded && result.After == 0:
		status = "running"
	case len(v.disk.errors) > 0:
		status, result.ExitCode = "error", 1
	case source == "":
		source = "None"
	}
	problems := v.disk.errors
	if problems == nil {
		problems = []string{}
	}
	if !slices.Contains(args, "json") && !slices.Contains(args, "--format=json") {
		result.Out = "status: " + status + "\n"
		return result, nil
	}
	text, err := json.MarshalIndent(map[string]any{"boot_status_code": "enabled-by-generator", "datasource": strings.ToLower(source),
		"detail": "DataSource" + source, "errors": problems, "extended_status": status, "recoverable_errors": map[string]any{}, "status": status}, "", "  ")
	result.Out = string(text) + "\n"
	return result, err
}

// gpuworkerGuestProgram is there once it was copied from the seed, or written by the
// agent.
func gpuworkerGuestProgram(s *Sim, v *vm, call GuestCall) (GuestResult, error) {
	if _, installed := v.files[guestProgram]; !installed {
		return GuestResult{Missing: true}, nil
	}
	args := call.Command[1:]
	if len(args) == 0 {
		return GuestResult{}, notSimulated("gpuworker-guest without a command")
	}
	status, started := v.files[guestStatus]
	switch args[0] {
	case "status":
		if !started {
			return GuestResult{ExitCode: 1, Err: "gpuworker-guest: there is no status yet: the bootstrap has not begun\n"}, nil
		}
		return GuestResult{Out: status}, nil
	case "bootstrap":
		if v.run.boot.began.IsZero() || time.Now().After(v.run.boot.began.Add(v.run.boot.takes)) {
			s.beginBootstrap(v, time.Now())
		}
		if v.run.boot.began.IsZero() {
			return GuestResult{ExitCode: 1, Err: "gpuworker-guest: there are no orders\n"}, nil
		}
		return GuestResult{After: s.timings.Bootstrap}, nil
	case "gate":
		var now modelStatus
		if json.Unmarshal([]byte(status), &now) != nil || !now.Ready {
			return GuestResult{ExitCode: 1, Err: "gpuworker-guest: not ready\n"}, nil
		}
		return GuestResult{}, nil
	}
	return GuestResult{}, notSimulated("gpuworker-guest %s", args[0])
}

// systemctlProgram starts the program's service; it knows no other.
func systemctlProgram(s *Sim, v *vm, call GuestCall) (GuestResult, error) {
	flags, args, err := words(call, "--now", "--no-block", "--quiet", "-q")
	switch {
	case err != nil:
		return GuestResult{}, err
	case len(args) == 1 && args[0] == "daemon-reload":
		return GuestResult{}, nil
	case len(args) != 2 || strings.TrimSuffix(args[1], ".service") != "gpuworker-guest":
		return GuestResult{}, notSimulated("systemctl in a guest for other units than gpuworker-guest.service")
	}
	active := !v.run.boot.began.IsZero()
	switch args[0] {
	case "start", "restart":
		s.beginBootstrap(v, time.Now())
		return GuestResult{}, nil
	case "enable":
		if slices.Contains(flags, "--now") {
			s.beginBootstrap(v, time.Now())
		}
		return GuestResult{}, nil
	case "is-active":
		if active {
			return GuestResult{Out: "active\n"}, nil
		}
		return GuestResult{ExitCode: 3, Out: "inactive\n"}, nil
	}
	return GuestResult{}, notSimulated("systemctl %s in a guest", args[0])
}

// nvidiaSMIProgram is there with a driver; it only knows the list of GPUs.
func nvidiaSMIProgram(s *Sim, v *vm, call GuestCall) (GuestResult, error) {
	var status modelStatus
	if json.Unmarshal([]byte(v.files[guestStatus]), &status) != nil || status.Driver == nil {
		return GuestResult{Missing: true}, nil
	}
	if len(call.Command) != 2 || call.Command[1] != "-L" && call.Command[1] != "--list-gpus" {
		return GuestResult{}, notSimulated("nvidia-smi in a guest other than nvidia-smi -L")
	}
	out := ""
	for i, gpu := range status.GPUs {
		out += fmt.Sprintf("GPU %d: %s (UUID: %s)\n", i, gpu.Model, gpu.UUID)
	}
	return GuestResult{Out: out}, nil
}
