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
