package pvesim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// gpuworker-guest in a simulated guest, with the exit codes of the real one: 0, 1 for a
// failure, 2 when something is missing, 3 when a check fails or the VM is refused.

const (
	exitFailed  = 1
	exitMissing = 2
	exitCheck   = 3
)

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
	asJSON, wait, err := guestFlags(args[1:])
	if err != nil {
		return GuestResult{}, err
	}
	switch {
	case args[0] == "status" && wait == 0:
		return v.statusCommand(asJSON), nil
	case args[0] == "bootstrap" && wait == 0:
		return s.bootstrapCommand(v, asJSON), nil
	case args[0] == "gate" && !asJSON:
		return s.gateCommand(v, wait), nil
	}
	return GuestResult{}, notSimulated("gpuworker-guest %s", strings.Join(args, " "))
}

// guestFlags reads -o json and --wait TIME.
func guestFlags(args []string) (asJSON bool, wait time.Duration, err error) {
	text := strings.ReplaceAll(strings.Join(args, " "), "--", "-")
	text = strings.ReplaceAll(text, "=", " ")
	words := strings.Fields(text)
	for len(words) > 0 {
		switch {
		case len(words) > 1 && words[0] == "-o" && (words[1] == "json" || words[1] == "table"):
			asJSON = words[1] == "json"
		case len(words) > 1 && words[0] == "-wait":
			if wait, err = time.ParseDuration(words[1]); err != nil {
				return false, 0, notSimulated("gpuworker-guest with %q", words[1])
			}
		default:
			return false, 0, notSimulated("gpuworker-guest with %q", words[0])
		}
		words = words[2:]
	}
	return asJSON, wait, nil
}

func (v *vm) statusCommand(asJSON bool) GuestResult {
	text, there := v.files[guestStatus]
	var status modelStatus
	switch {
	case !there:
		return GuestResult{ExitCode: exitMissing, Err: "gpuworker-guest: read the status: " + guestStatus +
			" does not exist: no bootstrap ran\n  → run: gpuworker-guest bootstrap\n"}
	case v.guest.fails(GuestBadStatus) || json.Unmarshal([]byte(text), &status) != nil:
		return GuestResult{ExitCode: exitFailed, Err: "gpuworker-guest: read the status: " + guestStatus + " is damaged\n  → run: gpuworker-guest bootstrap\n"}
	case asJSON:
		return GuestResult{Out: text}
	}
	return GuestResult{Out: status.table()}
}

// table is the status for people.
func (m modelStatus) table() string {
	ready := "not ready"
	if m.Ready {
		ready = "ready"
	}
	out := fmt.Sprintf("%s · kernel %s · %s\n%-12s %-8s %-5s %-20s %s\n", m.OS, m.Kernel, ready, "STEP", "STATE", "TRIES", "ENDED", "PROBLEM")
	for _, step := range m.Steps {
		ended := ""
		if !step.Ended.IsZero() {
			ended = step.Ended.Format(time.RFC3339)
		}
		out += strings.TrimRight(fmt.Sprintf("%-12s %-8s %-5d %-20s %s", step.Name, step.State, step.Tries, ended, step.Problem), " ") + "\n"
	}
	return out
}

// bootstrapCommand waits for the end of the bootstrap, which it begins unless one runs.
func (s *Sim) bootstrapCommand(v *vm, asJSON bool) GuestResult {
	boot := &v.run.boot
	if boot.began.IsZero() || time.Now().After(boot.began.Add(boot.takes)) {
		if refused := s.beginBootstrap(v, time.Now()); refused.ExitCode != 0 {
			return refused
		}
	}
	end := boot.began.Add(boot.takes)
	status := v.bootstrapStatus(s, end)
	result := GuestResult{After: Duration(float64(time.Until(end)) * s.timeScale), Out: status.table()}
	if asJSON {
		text, _ := json.MarshalIndent(status, "", "  ")
		result.Out = string(text) + "\n"
	}
	for _, step := range status.Steps {
		if step.State == "Failed" {
			result.ExitCode, result.Err = exitCheck, "gpuworker-guest: "+step.Problem+"\n  → "+step.Fix+"\n"
			if step.Name == "modules" {
				result.ExitCode = exitFailed
			}
		}
	}
	return result
}

// gateCommand looks at the guest as it is now; with wait, until it is ready.
func (s *Sim) gateCommand(v *vm, wait time.Duration) GuestResult {
	now := time.Now()
	at := now.Add(s.scaled(Duration(wait)))
	why := s.gateClosed(v, now)
	if why == "" || wait == 0 {
		return gateResult(why, 0)
	}
	if end := v.run.boot.began.Add(v.run.boot.takes); !v.run.boot.began.IsZero() && !end.After(at) && s.gateClosed(v, end) == "" {
		return gateResult("", Duration(float64(end.Sub(now))*s.timeScale))
	}
	return gateResult(why, Duration(wait))
}

func gateResult(why string, after Duration) GuestResult {
	if why == "" {
		return GuestResult{After: after}
	}
	return GuestResult{ExitCode: exitCheck, Out: why, After: after}
}

// gateClosed is why the gate is closed at a time; "" when it is open.
func (s *Sim) gateClosed(v *vm, at time.Time) string {
	orders, ok := v.orders()
	if !ok {
		return "✗ GUEST-ORDERS: there are no orders for this VM\n"
	}
	loaded := false
	if !v.run.boot.began.IsZero() {
		loaded = v.bootstrapStatus(s, at).Driver != nil
	}
	for _, problem := range v.problems(orders, v.gpus(s.hosts[v.node], loaded)) {
		return fmt.Sprintf("✗ %s: %s\n", problem.id, problem.reason)
	}
	if orders.GPU != nil && wantsDriver(orders) && !loaded {
		return "✗ DRIVER-MISSING: no NVIDIA driver is loaded\n"
	}
	return ""
}

// serviceUnit is the program's unit.
const serviceUnit = "gpuworker-guest.service"

// systemctlProgram starts the program's service; it knows no other.
func systemctlProgram(s *Sim, v *vm, call GuestCall) (GuestResult, error) {
	flags, args, err := words(call, "--now", "--no-block", "--quiet", "-q")
	switch {
	case err != nil:
		return GuestResult{}, err
	case len(args) == 1 && args[0] == "daemon-reload":
		return GuestResult{}, nil
	case len(args) != 2 || args[1] != serviceUnit && args[1]+".service" != serviceUnit:
		return GuestResult{}, notSimulated("systemctl in a guest for other units than " + serviceUnit)
	}
	if _, installed := v.files[guestProgram]; !installed {
		return GuestResult{ExitCode: 5, Err: "Failed to " + args[0] + " " + serviceUnit + ": Unit " + serviceUnit + " not found.\n"}, nil
	}
	boot := &v.run.boot
	runs := !boot.began.IsZero() && time.Now().Before(boot.began.Add(boot.takes))
	switch {
	case args[0] == "restart", args[0] == "start" && !runs, args[0] == "enable" && slices.Contains(flags, "--now") && !runs:
		s.beginBootstrap(v, time.Now()) // its result is that of the service, not of systemctl --no-block
		return GuestResult{}, nil
	case args[0] == "start", args[0] == "enable":
		return GuestResult{}, nil
	case args[0] == "is-active" && runs:
		return GuestResult{ExitCode: 3, Out: "activating\n"}, nil
	case args[0] == "is-active" && !boot.began.IsZero():
		return GuestResult{Out: "active\n"}, nil
	case args[0] == "is-active":
		return GuestResult{ExitCode: 3, Out: "inactive\n"}, nil
	}
	return GuestResult{}, notSimulated("systemctl %s in a guest", args[0])
}
