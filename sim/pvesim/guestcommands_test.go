package pvesim

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// withGuest is a client of a world whose VM 120 runs an Ubuntu with agent.
func withGuest(t *testing.T) (*Sim, *client) {
	t.Helper()
	sim := newSim(t, homelab(t))
	root := sim.asRoot(t, rootPass)
	root.done(root.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120"), "OK")
	root.do("PUT", qemu("pve1", 120, "/config"), "ciuser", "ops").ok()
	root.done(root.do("POST", qemu("pve1", 120, "/status/start")), "OK")
	pause(t, time.Minute)
	return sim, root
}

func TestAFrozenGuestDoesNextToNothing(t *testing.T) {
	play(t, func(t *testing.T) {
		_, root := withGuest(t)
		agent := func(method, name string, fields ...string) *reply {
			return root.do(method, qemu("pve1", 120, "/agent/"+name), fields...)
		}
		result := func(r *reply) any { return r.object()["result"] }
		is := func(r *reply, want any) {
			t.Helper()
			if diff := cmp.Diff(want, result(r)); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		}
		is(agent("POST", "fsfreeze-status"), "thawed")
		is(agent("POST", "fstrim"), map[string]any{"paths": []any{map[string]any{"path": "/", "trimmed": 0.0, "minimum": 0.0}}})
		is(agent("POST", "fsfreeze-freeze"), 1.0)
		is(agent("POST", "fsfreeze-status"), "frozen")
		is(agent("POST", "ping"), map[string]any{})
		refused := func(command string) any {
			return map[string]any{"error": map[string]any{"class": "CommandNotFound",
				"desc": "Command guest-" + command + " has been disabled: the agent is in frozen state"}}
		}
		is(agent("GET", "get-osinfo"), refused("get-osinfo"))
		is(root.do("POST", qemu("pve1", 120, "/agent"), "command", "get-users"), refused("get-users"))
		agent("POST", "exec", "command", "true").refused(500, "Agent error: Command guest-exec has been disabled: the agent is in frozen state")
		agent("GET", "file-read", "file", "/etc/hostname").refused(500, "Agent error: Command guest-file-open has been disabled: the agent is in frozen state")
		is(root.do("POST", qemu("pve1", 120, "/agent"), "command", "fsfreeze-thaw"), 1.0)
		is(agent("POST", "fsfreeze-thaw"), 0.0)
		agent("POST", "exec", "command", "true").ok()
		// A reset thaws, too.
		agent("POST", "fsfreeze-freeze").ok()
		root.done(root.do("POST", qemu("pve1", 120, "/status/reset")), "OK")
		pause(t, time.Minute)
		is(agent("POST", "fsfreeze-status"), "thawed")
	})
}

func TestAGuestGoesDownWhenItsAgentIsAskedTo(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, root := withGuest(t)
		root.do("POST", qemu("pve1", 120, "/agent/shutdown")).ok()
		if !sim.State().VMs[120].Running {
			t.Error("it is off at once")
		}
		pause(t, time.Minute)
		if sim.State().VMs[120].Running {
			t.Error("it still runs")
		}
		root.do("POST", qemu("pve1", 120, "/agent/shutdown")).refused(500, "VM 120 is not running")
	})
}

func TestTheAgentSetsPasswordsOfUsersThatAreThere(t *testing.T) {
	play(t, func(t *testing.T) {
		_, root := withGuest(t)
		set := func(user string) *reply {
			return root.do("POST", qemu("pve1", 120, "/agent/set-user-password"), "username", user, "password", "very-secret")
		}
		set("root").ok()
		set("ops").ok()
		set("nobody-here").refused(500, "Agent error: child process has failed to set user password")
	})
}

// Both calls for a command give the same answer; commands that are not simulated answer
// 501.
func TestTheOldAndTheNewAgentCallsGiveTheSameAnswers(t *testing.T) {
	play(t, func(t *testing.T) {
		_, root := withGuest(t)
		done := 0
		for _, command := range plainGuestCommands {
			if command == "shutdown" || command == "get-time" {
				continue // one ends it, the other differs each time
			}
			method := "POST"
			if strings.HasPrefix(command, "get-") || command == "info" || command == "network-get-interfaces" {
				method = "GET"
			}
			direct := root.do(method, qemu("pve1", 120, "/agent/"+command))
			if command == "fsfreeze-freeze" {
				root.do("POST", qemu("pve1", 120, "/agent/fsfreeze-thaw")).ok()
			}
			old := root.do("POST", qemu("pve1", 120, "/agent"), "command", command)
			if command == "fsfreeze-freeze" {
				root.do("POST", qemu("pve1", 120, "/agent/fsfreeze-thaw")).ok()
			}
			if direct.code == 501 {
				old.refused(501, "simulator: the agent's command '"+command+"' is not simulated")
				continue
			}
			done++
			if diff := cmp.Diff(direct.ok().data, old.ok().data); diff != "" {
				t.Errorf("%s (-direct +old way):\n%s", command, diff)
			}
		}
		if done < 10 {
			t.Errorf("only %d commands are simulated", done)
		}
	})
}

func TestAHostSaysWhatItsQEMUCanDo(t *testing.T) {
	for version, newest := range map[string]string{"9.1.4": "10.1", "8.4.1": "9.2+pve1"} {
		world := homelab(t)
		world.Version = version
		world.Roles, world.ACL = nil, nil
		root := newSim(t, world).asRoot(t, rootPass)
		machines := root.do("GET", "/nodes/pve1/capabilities/qemu/machines").list()
		if first := machines[0].(map[string]any); first["version"] != newest || first["id"] != "pc-i440fx-"+newest {
			t.Errorf("%s: the first machine is %v, want version %s", version, first, newest)
		}
		for _, m := range machines {
			if id := m.(map[string]any)["id"].(string); !machineTaken(id) {
				t.Errorf("%s: a VM cannot have the machine %s", version, id)
			}
		}
		names := map[string]bool{}
		for _, m := range root.do("GET", "/nodes/pve1/capabilities/qemu/cpu").list() {
			name := m.(map[string]any)["name"].(string)
			if names[name] {
				t.Errorf("%s: CPU model %s twice", version, name)
			}
			names[name] = true
		}
		for _, name := range []string{"host", "x86-64-v2-AES", "EPYC-Milan", "Icelake-Server"} {
			if !names[name] {
				t.Errorf("%s: no CPU model %s", version, name)
			}
		}
		if got := root.do("GET", "/nodes/pve1/hardware/usb").list(); len(got) != 0 {
			t.Errorf("%s: USB devices %v", version, got)
		}
	}
}

// machineTaken reports whether the machine option accepts a type.
func machineTaken(id string) bool { return machineFormat.check("machine", id) == "" }
