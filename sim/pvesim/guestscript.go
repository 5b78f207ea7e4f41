package pvesim

import (
	"fmt"
	"regexp"
	"time"
)

// sumInScript is the checksum that gpu-bootstrap.sh requires of the program.
var sumInScript = regexp.MustCompile(`sha256=([0-9a-f]{64})`)

// shellFile runs a script in a file of the guest: only gpu-bootstrap.sh, which checks
// gpuworker-guest and starts its service.
func (s *Sim) shellFile(v *vm, name string) (GuestResult, error) {
	script, there := v.files[name]
	if !there {
		return GuestResult{ExitCode: 2, Err: fmt.Sprintf("sh: 0: cannot open %s: No such file\n", name)}, nil
	}
	if name != "/etc/gpuworker/gpu-bootstrap.sh" {
		return GuestResult{}, notSimulated("the script %s in a guest", name)
	}
	program, installed := v.files[guestProgram]
	sum := sumInScript.FindStringSubmatch(script)
	if !installed || sum != nil && sum[1] != sha256Hex(program) {
		return GuestResult{ExitCode: 1, Err: fmt.Sprintf("gpuworker: %s is missing or has another checksum\n", guestProgram)}, nil
	}
	s.beginBootstrap(v, time.Now())
	return GuestResult{}, nil
}
