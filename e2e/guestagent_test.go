package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/testdata/worlds"
)

// agentOfVM100 is our own client of a simulated Proxmox VE. With a socket, VM 100 has the
// real guest agent that listens there.
func agentOfVM100(t *testing.T, socket string) *pve.Client {
	t.Helper()
	world, err := pvesim.LoadWorld(worlds.Homelab)
	if err != nil {
		t.Fatal(err)
	}
	sim, err := pvesim.New(world, pvesim.WithLog(t.Logf))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	if err := sim.SetAgentSocket(100, socket); err != nil {
		t.Fatal(err)
	}
	client, err := pve.New(pve.Options{Endpoint: "https://pve1:8006", Username: "root@pam", Password: "homelab-root", Transport: sim.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// realAgent starts Debian's qemu-ga on a socket of this machine, without a VM. pvesim
// never passes on a command that would shut this machine down.
func realAgent(t *testing.T, args ...string) string {
	t.Helper()
	program := "/usr/sbin/qemu-ga"
	if _, err := os.Stat(program); err != nil {
		t.Skip("SKIPPED: this test talks to a real guest agent, and qemu-ga is not installed: apt-get install qemu-guest-agent")
	}
	dir, err := os.MkdirTemp("", "qga") //nolint:usetesting // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "100.qga")
	cmd := exec.Command(program, append([]string{"-m", "unix-listen", "-p", socket, "-t", dir, "-f", filepath.Join(dir, "pid")}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 500 {
		if _, err := os.Stat(socket); err == nil {
			return socket
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("qemu-ga made no socket")
	return ""
}

// run runs a program in the guest to its end.
func run(ctx context.Context, c *pve.Client, input string, command ...string) (pve.AgentExecResult, error) {
	pid, err := c.AgentExec(ctx, "pve1", 100, command, input)
	for err == nil {
		var result pve.AgentExecResult
		if result, err = c.AgentExecStatus(ctx, "pve1", 100, pid); err == nil && result.Exited {
			return result, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return pve.AgentExecResult{}, err
}

// deliver writes a program into the guest in pieces, joins them and checks the sum.
func deliver(ctx context.Context, c *pve.Client, dir string, program []byte) error {
	target := dir + "/program"
	join := []string{"sh", "-ec", `cat "$@" > "$0"; rm -f "$@"; chmod 0755 "$0"`, target}
	for n := 0; n*pve.MaxAgentFile < len(program); n++ {
		piece := fmt.Sprintf("%s.%04d", target, n)
		if err := c.AgentFileWrite(ctx, "pve1", 100, piece, program[n*pve.MaxAgentFile:min(len(program), (n+1)*pve.MaxAgentFile)]); err != nil {
			return err
		}
		join = append(join, piece)
	}
	sum := sha256.Sum256(program)
	for _, step := range []struct {
		input   string
		command []string
	}{{"", join}, {hex.EncodeToString(sum[:]) + "  " + target + "\n", []string{"sha256sum", "-c", "--status"}}} {
		result, err := run(ctx, c, step.input, step.command...)
		if err != nil {
			return err
		}
		if result.ExitCode != 0 || result.Signal != 0 {
			return fmt.Errorf("%v: exit code %d, signal %d: %s", step.command[0], result.ExitCode, result.Signal, result.Err)
		}
	}
	return nil
}

// The same delivery, by our own client through the simulated API, to a real guest agent
// and to a simulated one.
func TestAProgramReachesTheGuestByItsAgent(t *testing.T) {
	program := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{13})
	_, _ = random.Read(program)
	for name, start := range map[string]func(*testing.T) (*pve.Client, string){
		"a real agent":      func(t *testing.T) (*pve.Client, string) { return agentOfVM100(t, realAgent(t)), t.TempDir() },
		"a simulated agent": func(t *testing.T) (*pve.Client, string) { return agentOfVM100(t, ""), "/root" },
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			c, dir := start(t)
			began := time.Now()
			if err := deliver(ctx, c, dir, program); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d bytes in %v", len(program), time.Since(began))
			read, err := c.AgentFileRead(ctx, "pve1", 100, dir+"/program", pve.MaxAgentRead)
			if err != nil || !bytes.Equal(read.Content, program) || read.Truncated {
				t.Errorf("read back: %d bytes, truncated %v, %v", len(read.Content), read.Truncated, err)
			}
			read, err = c.AgentFileRead(ctx, "pve1", 100, dir+"/program", 10)
			if err != nil || !bytes.Equal(read.Content, program[:10]) || !read.Truncated {
				t.Errorf("the beginning: %q, truncated %v, %v", read.Content, read.Truncated, err)
			}
			result, err := run(ctx, c, "ü\x00\xff", "cat")
			if err != nil || result.Out != "ü\x00\xff" {
				t.Errorf("input of any bytes came back as %q (%v)", result.Out, err)
			}
			info, err := c.AgentInfo(ctx, "pve1", 100)
			if err != nil || !info.Allows("guest-exec") || info.Allows("guest-nope") {
				t.Errorf("info %+v (%v)", info, err)
			}
			if _, err = c.AgentFileRead(ctx, "pve1", 100, dir+"/none", 1); pve.KindOf(err) != pve.NotFound {
				t.Errorf("a file that is missing: %v", err)
			}
			if err := c.AgentFileWrite(ctx, "pve1", 100, dir+"/none/x", nil); pve.KindOf(err) != pve.NotFound {
				t.Errorf("a directory that is missing: %v", err)
			}
			if _, err := run(ctx, c, "", "nvidia-smi"); pve.KindOf(err) != pve.NotFound {
				t.Errorf("a program that is missing: %v", err)
			}
			if _, err := c.AgentExecStatus(ctx, "pve1", 100, 1); pve.KindOf(err) != pve.NotFound {
				t.Errorf("a process that is missing: %v", err)
			}
		})
	}
}

func TestAnAgentThatForbidsProgramsSaysSo(t *testing.T) {
	c := agentOfVM100(t, realAgent(t, "-b", "guest-exec,guest-exec-status,guest-get-osinfo"))
	ctx := t.Context()
	info, err := c.AgentInfo(ctx, "pve1", 100)
	if err != nil || info.Allows("guest-exec") || !info.Allows("guest-file-open") {
		t.Errorf("info %+v (%v)", info, err)
	}
	if _, err := c.AgentExec(ctx, "pve1", 100, []string{"true"}, ""); pve.KindOf(err) != pve.AgentForbidden {
		t.Errorf("exec: %v", err)
	}
	if _, err := c.AgentOSInfo(ctx, "pve1", 100); pve.KindOf(err) != pve.AgentForbidden {
		t.Errorf("get-osinfo: %v", err)
	}
}
