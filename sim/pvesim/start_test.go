package pvesim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	t4pve1   = "node=pve1,path=0000:03:00.0,id=10de:1eb8,iommugroup=14,subsystem-id=10de:12a2"
	t4pve2   = "node=pve2,path=0000:03:00.0,id=10de:1eb8,iommugroup=11,subsystem-id=10de:12a2"
	t4pve2b  = "node=pve2,path=0000:81:00.0,id=10de:1eb8,iommugroup=31,subsystem-id=10de:12a2"
	rtxPve1  = "node=pve1,path=0000:41:00,id=10de:2204,iommugroup=27,subsystem-id=10de:1454"
	rtxPve3  = "node=pve3,path=0000:0a:00,id=10de:2204,subsystem-id=10de:1454"
	rootPass = "homelab-root"
)

// vmWith creates a VM with these options on a host.
func vmWith(root *client, host string, id int, fields ...string) {
	root.t.Helper()
	fields = append(fields, "vmid", fmt.Sprint(id))
	if !slices.Contains(fields, "memory") {
		fields = append(fields, "memory", "2048")
	}
	root.done(root.do("POST", "/nodes/"+host+"/qemu", fields...), "OK")
}

func TestAStartSaysWhatIsWrongWithItsDevices(t *testing.T) {
	for name, tc := range map[string]struct {
		host    string
		mapping string // of "m"
		fields  []string
		exit    string
	}{
		"a mapping that is not there":               {"pve1", "", []string{"hostpci0", "mapping=nope"}, "PCI device mapping not found for 'nope'"},
		"a mapping without an entry for the host":   {"pve1", t4pve2, []string{"hostpci0", "mapping=m1"}, "PCI device mapping not found for 'm1'"},
		"a mapping of another card":                 {"pve1", strings.Replace(t4pve1, "1eb8", "1eb9", 1), []string{"hostpci0", "mapping=m1"}, "PCI device mapping invalid (hardware probably changed): 'id' does not match for 'm1' (10de:1eb8 != 10de:1eb9) "},
		"a mapping of another group":                {"pve1", strings.Replace(t4pve1, "=14", "=15", 1), []string{"hostpci0", "mapping=m1"}, "PCI device mapping invalid (hardware probably changed): 'iommugroup' does not match for 'm1' (14 != 15) "},
		"a mapping without a subsystem":             {"pve1", strings.Replace(t4pve1, ",subsystem-id=10de:12a2", "", 1), []string{"hostpci0", "mapping=m1"}, "PCI device mapping invalid (hardware probably changed): missing expected property 'subsystem-id' for device '0000:03:00.0' "},
		"a mapping of a device that is gone":        {"pve1", strings.Replace(t4pve1, "03:00.0", "99:00.0", 1), []string{"hostpci0", "mapping=m1"}, "PCI device mapping invalid (hardware probably changed): pci device '0000:99:00.0' not found "},
		"a raw device that is gone":                 {"pve1", "", []string{"hostpci0", "0000:99:00.0"}, "no PCI device found for '0000:99:00.0'"},
		"PCIe without q35":                          {"pve1", t4pve1, []string{"hostpci0", "mapping=m1,pcie=1"}, "q35 machine model is not enabled"},
		"one device twice":                          {"pve1", t4pve1, []string{"hostpci0", "mapping=m1", "hostpci1", "0000:03:00.0"}, "device '0000:03:00.0' assigned more than once"},
		"a device and a mapping in one option":      {"pve1", t4pve1, []string{"hostpci0", "03:00.0,mapping=m1"}, "Cannot set both 'host' and 'mapping'."},
		"neither device nor mapping":                {"pve1", "", []string{"hostpci0", "pcie=1"}, "Either 'host' or 'mapping' must be set."},
		"a card that a running VM has":              {"pve2", t4pve2b, []string{"hostpci0", "mapping=m1"}, "PCI device '0000:81:00.0' already in use by VMID '204'"},
		"a card on a host without IOMMU":            {"pve3", rtxPve3, []string{"hostpci0", "mapping=m1"}, "cannot prepare PCI pass-through, IOMMU not present"},
		"a raw card on a host without IOMMU":        {"pve3", "", []string{"hostpci0", "0a:00"}, "cannot prepare PCI pass-through, IOMMU not present"},
		"a bridge that is not there":                {"pve1", "", []string{"net0", "virtio,bridge=vmbr9"}, "start failed: QEMU exited with code 1"},
		"a card for which all is well":              {"pve1", t4pve1, []string{"hostpci0", "mapping=m1"}, "OK"},
		"OVMF without a place for its variables":    {"pve1", "", []string{"bios", "ovmf"}, "WARNINGS: 1"},
		"PCIe with q35 and all functions of a slot": {"pve1", rtxPve1, []string{"machine", "q35", "hostpci0", "mapping=m1,pcie=1"}, "OK"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T) {
				sim := newSim(t, homelab(t))
				root := sim.asRoot(t, rootPass)
				if tc.mapping != "" {
					root.do("POST", "/cluster/mapping/pci", "id", "m1", "map", tc.mapping).ok()
				}
				vmWith(root, tc.host, 300, tc.fields...)
				log := root.done(root.do("POST", qemu(tc.host, 300, "/status/start")), tc.exit)
				last := "TASK ERROR: " + tc.exit
				switch tc.exit {
				case "OK":
					last = "TASK OK"
				case "WARNINGS: 1":
					last = "TASK WARNINGS: 1"
				}
				if log[len(log)-1] != last {
					t.Errorf("the log ends with %q, want %q", log[len(log)-1], last)
				}
				state := sim.State()
				fine := tc.exit == "OK" || tc.exit == "WARNINGS: 1"
				if state.VMs[300].Running != fine || state.VMs[300].Starting {
					t.Errorf("running %v, starting %v; want %v, false", state.VMs[300].Running, state.VMs[300].Starting, fine)
				}
				for device, id := range state.Hosts[tc.host].Reserved {
					if id == 300 && !fine {
						t.Errorf("a start that failed still holds %s", device)
					}
				}
			})
		})
	}
}

func TestTwoVMsMayNameOneCardButOnlyOneStarts(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		root.do("POST", "/cluster/mapping/pci", "id", "m1", "map", t4pve1).ok()
		vmWith(root, "pve1", 300, "hostpci0", "mapping=m1")
		vmWith(root, "pve1", 301, "hostpci0", "mapping=m1")
		first := root.do("POST", qemu("pve1", 300, "/status/start"))
		pause(t, time.Second)
		root.done(root.do("POST", qemu("pve1", 301, "/status/start")), "PCI device '0000:03:00.0' is currently reserved for use by VMID '300'")
		root.done(first, "OK")
		root.done(root.do("POST", qemu("pve1", 301, "/status/start")), "PCI device '0000:03:00.0' already in use by VMID '300'")
		root.done(root.do("POST", qemu("pve1", 300, "/status/stop")), "OK")
		root.done(root.do("POST", qemu("pve1", 301, "/status/start")), "OK")
		if diff := cmp.Diff(map[string]int{"0000:03:00.0": 301}, sim.State().Hosts["pve1"].Reserved); diff != "" {
			t.Errorf("reservations (-want +got):\n%s", diff)
		}
	})
}

func TestAMappingOfSeveralCardsGivesTheFirstFreeOne(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		root.do("POST", "/cluster/mapping/pci", "id", "m1", "map", t4pve2b, "map", t4pve2).ok()
		vmWith(root, "pve2", 300, "hostpci0", "mapping=m1")
		vmWith(root, "pve2", 301, "hostpci0", "mapping=m1")
		root.done(root.do("POST", qemu("pve2", 300, "/status/start")), "OK")
		if got := sim.State().VMs[300].Devices; !slices.Equal(got, []string{"0000:03:00.0"}) {
			t.Errorf("the VM got %v; 81:00.0 is held by VM 204", got)
		}
		root.done(root.do("POST", qemu("pve2", 301, "/status/start")), "could not find a free device for 'hostpci0'")
	})
}

func TestAStartTakesTheWholeGroupFromTheHost(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		vmWith(root, "pve1", 300, "hostpci0", "0000:41:00")
		root.done(root.do("POST", qemu("pve1", 300, "/status/start")), "OK")
		state := sim.State()
		if len(state.Damage) != 1 {
			t.Fatalf("damage: %+v, want that of the network card in the group", state.Damage)
		}
		d := state.Damage[0]
		want := Damage{Host: "pve1", Device: "0000:42:00.0", Driver: "igb", VMID: 300, Foreign: true, Time: d.Time}
		if diff := cmp.Diff(want, d); diff != "" {
			t.Errorf("damage (-want +got):\n%s", diff)
		}
		drivers := state.Hosts["pve1"].Drivers
		if drivers["0000:42:00.0"] != "vfio-pci" || drivers["0000:40:01.1"] != "pcieport" || drivers["0000:04:00.0"] != "igb" {
			t.Errorf("the group's card has driver %q, its bridge %q, a card elsewhere %q", drivers["0000:42:00.0"], drivers["0000:40:01.1"], drivers["0000:04:00.0"])
		}
		// Stopping does not give it back; a reboot does.
		root.done(root.do("POST", qemu("pve1", 300, "/status/stop")), "OK")
		if got := sim.State().Hosts["pve1"].Drivers["0000:42:00.0"]; got != "vfio-pci" {
			t.Errorf("after the stop the driver is %q", got)
		}
		if err := sim.RebootHost("pve1"); err != nil {
			t.Fatal(err)
		}
		if got := sim.State().Hosts["pve1"].Drivers["0000:42:00.0"]; got != "igb" {
			t.Errorf("after the reboot the driver is %q", got)
		}
	})
}

func TestOneFunctionOfACardBindsTheOtherToo(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		for i, f := range world.Hosts[0].PCI {
			if f.Address == "0000:41:00.1" {
				world.Hosts[0].PCI[i].Driver = "snd_hda_intel"
			}
			if f.Address == "0000:42:00.0" {
				world.Hosts[0].PCI[i].Group = 28
			}
		}
		sim := newSim(t, world)
		root := sim.asRoot(t, rootPass)
		vmWith(root, "pve1", 300, "hostpci0", "0000:41:00.0")
		root.done(root.do("POST", qemu("pve1", 300, "/status/start")), "OK")
		damage := sim.State().Damage
		if len(damage) != 1 || damage[0].Device != "0000:41:00.1" || damage[0].Foreign {
			t.Errorf("damage: %+v, want that of the card's own audio function", damage)
		}
	})
}

func TestBindingTakesIdleCardsOfTheSameMake(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		twin := PCIFunction{Address: "0000:21:00.0", Class: "0x030200", ID: "10de:1eb8", Subsystem: "10de:12a2", Group: 40}
		world.Hosts[0].PCI = append(world.Hosts[0].PCI, twin)
		for i, f := range world.Hosts[0].PCI {
			if f.Address == "0000:03:00.0" {
				world.Hosts[0].PCI[i].Driver = ""
			}
		}
		sim := newSim(t, world)
		root := sim.asRoot(t, rootPass)
		vmWith(root, "pve1", 300, "hostpci0", "0000:03:00.0")
		root.done(root.do("POST", qemu("pve1", 300, "/status/start")), "OK")
		if got := sim.State().Hosts["pve1"].Drivers["0000:21:00.0"]; got != "vfio-pci" {
			t.Errorf("the idle card of the same make has driver %q, want vfio-pci", got)
		}
		if damage := sim.State().Damage; len(damage) != 0 {
			t.Errorf("nobody used it, yet there is damage: %v", damage)
		}
	})
}

func TestPassthroughNeedsMemoryThatIsReallyFree(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		vmWith(root, "pve2", 300, "memory", "98304", "hostpci0", "0000:03:00.0")
		log := root.done(root.do("POST", qemu("pve2", 300, "/status/start")), "start failed: QEMU exited with code 1")
		if line := log[len(log)-2]; !strings.HasPrefix(line, "kvm: ") || !strings.Contains(line, "Cannot allocate memory") {
			t.Errorf("before the error the log says %q", line)
		}
		// vdi-7 has 32 GiB; without it there is room. Without a card, memory is
		// given out more than once.
		vmWith(root, "pve2", 301, "memory", "98304")
		root.done(root.do("POST", qemu("pve2", 301, "/status/start")), "OK")
		root.done(root.do("POST", qemu("pve2", 301, "/status/stop")), "OK")
		root.done(root.do("POST", qemu("pve2", 204, "/status/stop")), "OK")
		root.done(root.do("POST", qemu("pve2", 300, "/status/start")), "OK")
	})
}

func TestAStartThatTakesTooLongIsCutOff(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		vmWith(root, "pve1", 300, "memory", "65536", "hostpci0", "0000:03:00.0", "name", "big")
		began := time.Now()
		root.done(root.do("POST", qemu("pve1", 300, "/status/start"), "timeout", "3"), "start failed: command '/usr/bin/kvm -id 300 -name big' failed: got timeout")
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("the start gave up after %v, want 3 s", took)
		}
		root.done(root.do("POST", qemu("pve1", 300, "/status/start")), "OK")
	})
}

func TestARunningVMIsNotStartedAgain(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		engine.done(engine.do("POST", qemu("pve1", 100, "/status/start")), "VM 100 already running")
		engine.done(engine.do("POST", qemu("pve1", 9000, "/status/start")), "you can't start a vm if it's a template")
		engine.done(engine.do("POST", qemu("pve1", 999, "/status/start")), "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist")
		engine.done(engine.do("POST", qemu("pve1", 999, "/status/stop")), "unable to find configuration file for VM 999 on node 'pve1'")
	})
}

func TestAfterARebootTheLoserOfARaceMayWin(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		vmWith(root, "pve2", 200, "hostpci0", "0000:81:00.0", "onboot", "1")
		root.do("PUT", qemu("pve2", 204, "/config"), "onboot", "1").ok()
		root.done(root.do("POST", qemu("pve2", 200, "/status/start")), "PCI device '0000:81:00.0' already in use by VMID '204'")
		if err := sim.RebootHost("pve2"); err != nil {
			t.Fatal(err)
		}
		root.do("GET", "/nodes/pve2/status").refused(595, "No route to host")
		pause(t, 5*time.Minute)
		state := sim.State()
		if !state.VMs[200].Running || state.VMs[204].Running {
			t.Errorf("after the boot 200 runs: %v, 204 runs: %v; the lower id starts first", state.VMs[200].Running, state.VMs[204].Running)
		}
	})
}
