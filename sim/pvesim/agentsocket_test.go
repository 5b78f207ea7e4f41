package pvesim

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// realAgent starts Debian's qemu-ga on a unix socket of this machine, without a VM, and
// returns the socket. The simulator never passes on the commands that would shut this
// machine down.
func realAgent(t *testing.T, args ...string) string {
	t.Helper()
	program, err := exec.LookPath("qemu-ga")
	if err != nil {
		for _, path := range []string{"/usr/sbin/qemu-ga", "/usr/bin/qemu-ga"} {
			if _, err := os.Stat(path); err == nil {
				program = path
			}
		}
	}
	if program == "" {
		t.Skip("SKIPPED: this test talks to a real guest agent, and qemu-ga is not installed: apt-get install qemu-guest-agent")
	}
	dir, err := os.MkdirTemp("", "qga") //nolint:usetesting // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "100.qga")
	var said bytes.Buffer
	cmd := exec.Command(program, append([]string{"-m", "unix-listen", "-p", socket, "-t", dir, "-f", filepath.Join(dir, "pid")}, args...)...)
	cmd.Stderr = &said
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
	t.Fatalf("qemu-ga made no socket: %s", said.String())
	return ""
}

// onSocket is a client of a world whose VM 100 has a real agent.
func onSocket(t *testing.T, socket string) (*Sim, *client) {
	t.Helper()
	sim := newSim(t, homelab(t))
	if err := sim.SetAgentSocket(100, socket); err != nil {
		t.Fatal(err)
	}
	return sim, sim.asRoot(t, rootPass)
}

func agentOf100(root *client, method, name string, fields ...string) *reply {
	return root.do(method, qemu("pve1", 100, "/agent/"+name), fields...)
}

func TestARealAgentAnswersThroughTheSimulator(t *testing.T) {
	_, root := onSocket(t, realAgent(t))
	agent := func(method, name string, fields ...string) *reply { return agentOf100(root, method, name, fields...) }

	if diff := cmp.Diff(map[string]any{"result": map[string]any{}}, agent("POST", "ping").object()); diff != "" {
		t.Errorf("ping (-want +got):\n%s", diff)
	}
	host, _ := os.Hostname()
	if got := agent("GET", "get-host-name").object()["result"].(map[string]any)["host-name"]; got != host {
		t.Errorf("host name %v, want %s", got, host)
	}
	cards := agent("GET", "network-get-interfaces").object()["result"].([]any)
	if len(cards) == 0 || cards[0].(map[string]any)["name"] != "lo" {
		t.Errorf("interfaces %v", cards)
	}
	info := agent("GET", "info").object()["result"].(map[string]any)
	if len(info["supported_commands"].([]any)) < 20 {
		t.Errorf("info %v", info)
	}

	t.Run("files", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "orders.json")
		const content = "a text with ü, as the server writes it"
		agent("POST", "file-write", "file", file, "content", content).ok()
		raw, err := os.ReadFile(file)
		if err != nil || string(raw) != strings.Replace(content, "ü", "\xfc", 1) {
			t.Errorf("the file has %q (%v)", raw, err)
		}
		agent("POST", "file-write", "file", file, "content", "R8O8bg==", "encode", "0").ok()
		read := agent("GET", "file-read", "file", file).object()
		if diff := cmp.Diff(map[string]any{"content": "GÃ¼n", "bytes-read": 4.0}, read); diff != "" {
			t.Errorf("what was read, each byte one character (-want +got):\n%s", diff)
		}
		read = agent("GET", "file-read", "file", file, "count", "1", "offset", "3").object()
		if diff := cmp.Diff(map[string]any{"content": "n", "bytes-read": 1.0, "truncated": 1.0}, read); diff != "" {
			t.Errorf("a part (-want +got):\n%s", diff)
		}
		agent("POST", "file-write", "file", "/nope/x", "content", "y").refused(500,
			"Agent error: failed to open file '/nope/x' (mode: 'wb'): No such file or directory")
		agent("POST", "file-write", "file", file, "content", "!!!", "encode", "0").refused(500,
			"Agent error: Base64 data contains invalid characters")
		agent("POST", "file-write", "file", file, "content", "€").refused(500,
			"Wide character in subroutine entry at /usr/share/perl5/PVE/API2/Qemu/Agent.pm line 553.")
	})

	t.Run("programs", func(t *testing.T) {
		status := func(fields ...string) map[string]any {
			pid := fmt.Sprint(agent("POST", "exec", fields...).object()["pid"])
			for range 500 {
				if got := agent("GET", "exec-status", "pid", pid).object(); got["exited"] == 1.0 {
					agent("GET", "exec-status", "pid", pid).refused(500, "Agent error: Invalid parameter 'pid'")
					return got
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Fatal("the program does not end")
			return nil
		}
		for _, tc := range []struct {
			name   string
			fields []string
			want   map[string]any
		}{
			{"two outputs and a code", []string{"command", "sh", "command", "-c", "command", "echo hi; echo no >&2; exit 3"},
				map[string]any{"exited": 1.0, "exitcode": 3.0, "out-data": "hi\n", "err-data": "no\n", "out-truncated": 0.0, "err-truncated": 0.0}},
			{"input", []string{"command", "cat", "input-data", "from the client"},
				map[string]any{"exited": 1.0, "exitcode": 0.0, "out-data": "from the client", "out-truncated": 0.0}},
			{"bytes, each one character", []string{"command", "cat", "input-data", "ü"},
				map[string]any{"exited": 1.0, "exitcode": 0.0, "out-data": "ü", "out-truncated": 0.0}},
			{"a signal", []string{"command", "sh", "command", "-c", "command", "kill -9 $$"}, map[string]any{"exited": 1.0, "signal": 9.0}},
		} {
			if diff := cmp.Diff(tc.want, status(tc.fields...)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.name, diff)
			}
		}
		agent("POST", "exec", "command", "/nope").refused(500,
			"Agent error: Guest agent command failed, error was 'Failed to execute child process “/nope” (No such file or directory)'")
	})

	t.Run("what would switch this machine off is not passed on", func(t *testing.T) {
		agent("POST", "shutdown").refused(501, "simulator: the agent's command 'shutdown' is never passed on to a socket")
		for _, command := range neverPassedOn {
			if got := root.do("POST", qemu("pve1", 100, "/agent"), "command", command); got.code != 501 {
				t.Errorf("%s: got %d %s", command, got.code, got.reason)
			}
		}
	})
}

func TestARealAgentForbidsPrograms(t *testing.T) {
	_, root := onSocket(t, realAgent(t, "-b", "guest-exec,guest-exec-status,guest-get-osinfo"))
	agentOf100(root, "POST", "exec", "command", "true").refused(500, "Agent error: Command guest-exec has been disabled")
	want := map[string]any{"result": map[string]any{"error": map[string]any{"class": "CommandNotFound", "desc": "Command guest-get-osinfo has been disabled"}}}
	if diff := cmp.Diff(want, agentOf100(root, "GET", "get-osinfo").object()); diff != "" {
		t.Errorf("a command without parameters: 200 with the error (-want +got):\n%s", diff)
	}
}

func TestASocketInTheDirectoryOfAgentsIsThatOfItsVM(t *testing.T) {
	socket := realAgent(t)
	world := homelab(t)
	world.AgentSockets = filepath.Dir(socket)
	sim := newSim(t, world)
	root := sim.asRoot(t, rootPass)
	host, _ := os.Hostname()
	if got := agentOf100(root, "GET", "get-host-name").object()["result"].(map[string]any)["host-name"]; got != host {
		t.Errorf("host name %v, want %s", got, host)
	}
	if got := root.do("GET", qemu("pve2", 204, "/agent/get-host-name")).object()["result"].(map[string]any)["host-name"]; got != "vdi-7" {
		t.Errorf("a VM without a socket is simulated, got %v", got)
	}
}

func TestAnAgentSocketWithoutAnAgent(t *testing.T) {
	_, root := onSocket(t, filepath.Join(t.TempDir(), "none"))
	agentOf100(root, "POST", "ping").refused(500, "QEMU guest agent is not running")
	root.done(root.do("POST", qemu("pve1", 100, "/status/stop")), "OK")
	agentOf100(root, "POST", "ping").refused(500, "VM 100 is not running")
}

func FuzzReadAgentAnswer(f *testing.F) {
	f.Add("\xff{\"return\": 7}\n{\"return\": {}}\n")
	f.Add("late}\n\xff{\"return\": 6}\n{\"return\": 1}\n\xff{\"return\": 7}\n{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		value, refused, err := readAgentAnswer(strings.NewReader(text), 7)
		if err != nil && (value != nil || refused != nil) {
			t.Errorf("both an answer and an error: %v %v %v", value, refused, err)
		}
	})
}

// The rest of a command whose client has left comes before the answer.
func TestALateAnswerIsSkipped(t *testing.T) {
	const text = "ate\"}\n\xff{\"return\": 6}\n{\"return\": \"old\"}\n\xff{\"return\": 7}\n{\"return\": \"new\"}\n"
	if value, refused, err := readAgentAnswer(strings.NewReader(text), 7); value != "new" || refused != nil || err != nil {
		t.Errorf("got %v, %v, %v", value, refused, err)
	}
}

// The simulated agent must not differ from the real one.
func TestTheSimulatedAgentAnswersLikeARealOne(t *testing.T) {
	_, real := onSocket(t, realAgent(t))
	model := newSim(t, homelab(t)).asRoot(t, rootPass)
	dir := t.TempDir()
	told := func(root *client, method, name string, fields ...string) string {
		got := agentOf100(root, method, name, fields...)
		pid, started := "", false
		if object, ok := got.data.(map[string]any); ok && name == "exec" && got.code == 200 {
			pid, started = fmt.Sprint(object["pid"]), true
		}
		if !started {
			return fmt.Sprintf("%d %s %v", got.code, got.reason, got.data)
		}
		for range 500 {
			if got := agentOf100(root, "GET", "exec-status", "pid", pid).object(); got["exited"] == 1.0 {
				again := agentOf100(root, "GET", "exec-status", "pid", pid).code // told once
				return fmt.Sprint(got, again)
			}
			time.Sleep(10 * time.Millisecond)
		}
		return "it does not end"
	}
	for _, call := range [][]string{
		{"POST", "exec", "command", "mkdir", "command", "-p", "command", dir},
		{"POST", "file-write", "file", dir + "/a", "content", "one\n"},
		{"POST", "file-write", "file", dir + "/b", "content", "two\n"},
		{"POST", "file-write", "file", dir + "/empty", "content", ""},
		{"POST", "file-write", "file", dir, "content", "x"},
		{"POST", "file-write", "file", dir + "/none/x", "content", "x"},
		{"POST", "file-write", "file", dir + "/bad", "content", "!!!", "encode", "0"},
		{"GET", "file-read", "file", dir + "/a"},
		{"GET", "file-read", "file", dir + "/a", "count", "4"},
		{"GET", "file-read", "file", dir + "/a", "count", "3"},
		{"GET", "file-read", "file", dir + "/a", "offset", "9"},
		{"GET", "file-read", "file", dir + "/a", "decode", "0"},
		{"GET", "file-read", "file", dir + "/empty"},
		{"GET", "file-read", "file", dir},
		{"GET", "file-read", "file", dir + "/none"},
		{"POST", "exec", "command", "sh", "command", "-c", "command", `cat "$@" > "$0"`, "command", dir + "/ab", "command", dir + "/a", "command", dir + "/b"},
		{"POST", "exec", "command", "sha256sum", "command", dir + "/ab", "command", dir + "/none"},
		{"POST", "exec", "command", "sha256sum", "command", "-c", "command", "--status", "input-data", sha256Hex("one\ntwo\n") + "  " + dir + "/ab\n"},
		{"POST", "exec", "command", "sha256sum", "command", "-c", "input-data", sha256Hex("other") + "  " + dir + "/ab\n"},
		{"POST", "exec", "command", "cat", "command", dir + "/a", "command", dir + "/none"},
		{"POST", "exec", "command", "cat", "input-data", "x"},
		{"POST", "exec", "command", "false"},
		{"POST", "exec", "command", "rm", "command", dir + "/none"},
		{"POST", "exec", "command", "mv", "command", dir + "/none", "command", dir + "/x"},
		{"POST", "exec", "command", "mv", "command", dir + "/ab", "command", dir + "/x"},
		{"POST", "exec", "command", "chmod", "command", "0755", "command", dir + "/x", "command", dir + "/none"},
		{"POST", "exec", "command", "sh", "command", "-ec", "command", "false; echo no"},
		{"POST", "exec", "command", "sh", "command", "-c", "command", "false && echo no; echo yes"},
		{"POST", "exec", "command", "sh", "command", "-c", "command", "echo x > " + dir + "/none/x"},
		{"POST", "exec", "command", "gpuworker-guest"},
	} {
		want, got := told(real, call[0], call[1], call[2:]...), told(model, call[0], call[1], call[2:]...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-real +simulated):\n%s", call, diff)
		}
	}
}
