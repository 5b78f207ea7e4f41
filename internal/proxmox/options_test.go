package proxmox

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/pve"
)

// ubuntu is a template as people usually make it from Ubuntu's cloud image.
func ubuntu() options {
	return options{
		"name": "gpu-1", "cores": "2", "memory": "2048", "ostype": "l26",
		"boot": "order=scsi0;ide2", "scsihw": "virtio-scsi-pci",
		"scsi0":   "local-lvm:vm-9101-disk-0,discard=on,size=10G",
		"ide2":    "local-lvm:vm-9101-cloudinit,media=cdrom,size=4M",
		"net0":    "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1",
		"agent":   "1",
		"serial0": "socket", "vga": "serial0",
		"smbios1": "uuid=11111111-2222-3333-4444-555555555555",
	}
}

func gpuMachine() inventory.Machine {
	return inventory.Machine{
		Cores: 8, MemoryMiB: 32768, CPU: "host", Type: inventory.TypeQ35, Firmware: inventory.FirmwareUEFI,
		NICs:   []inventory.NIC{{Network: "vmbr1", VLAN: 30, Address: "192.0.2.21/24", Gateway: "192.0.2.1"}},
		Guest:  inventory.Guest{User: "ops", SSHKeys: []string{"ssh-ed25519 AAAA ops@x"}, DNS: []string{"192.0.2.53"}},
		OnBoot: true, Protection: true, Agent: true,
	}
}

func TestAFreshCloneIsBroughtToTheDeclaredMachine(t *testing.T) {
	set, remove := ubuntu().update(gpuMachine())
	want := options{
		"cores": "8", "memory": "32768", "balloon": "0", "cpu": "host", "machine": "q35",
		"bios": "ovmf", "efidisk0": "local-lvm:1,efitype=4m,pre-enrolled-keys=0",
		"net0":   "virtio=BC:24:11:00:00:01,bridge=vmbr1,firewall=1,tag=30",
		"onboot": "1", "protection": "1",
		"ciuser": "ops", "ipconfig0": "ip=192.0.2.21/24,gw=192.0.2.1", "nameserver": "192.0.2.53",
		"sshkeys": "ssh-ed25519%20AAAA%20ops%40x",
	}
	if diff := cmp.Diff(want, set); diff != "" {
		t.Errorf("set (-want +got):\n%s", diff)
	}
	if len(remove) > 0 {
		t.Errorf("remove = %v, want nothing", remove)
	}
}

func TestAWrittenConfigurationNeedsNoSecondWrite(t *testing.T) {
	o := ubuntu()
	set, _ := o.update(gpuMachine())
	for key, value := range set {
		o[key] = value
	}
	set, remove := o.update(gpuMachine())
	if len(set) > 0 || len(remove) > 0 {
		t.Errorf("a second update sets %v and removes %v, want nothing", set, remove)
	}
}

func TestWhatTheTemplateHasIsKeptWhenNothingIsDeclared(t *testing.T) {
	desired := ubuntu().machine()
	desired.Firmware, desired.Guest = "", inventory.Guest{}
	o := ubuntu()
	o["ciuser"], o["nameserver"] = "ubuntu", "192.0.2.1"
	set, remove := o.update(desired)
	if len(set) > 0 || len(remove) > 0 {
		t.Errorf("update sets %v and removes %v, want nothing", set, remove)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int{"10G": 10240, "40960M": 40960, "1T": 1 << 20, "528K": 0, "2048K": 2, "": 0, "odd": 0, "1.5G": 1536} {
		if got := sizeMiB(text); got != want {
			t.Errorf("sizeMiB(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestTheBootDiskIsTheFirstOfTheOrderThatIsNoCDROM(t *testing.T) {
	o := options{"boot": "order=ide2;virtio0;scsi0", "ide2": "none,media=cdrom", "virtio0": "nas:101/vm-101-disk-1.raw,size=5G", "scsi0": "nas:101/vm-101-disk-0.raw"}
	key, volume := o.bootDisk()
	if key != "virtio0" || volume != "nas:101/vm-101-disk-1.raw" {
		t.Errorf("bootDisk = %s, %s", key, volume)
	}
}

func TestCardValues(t *testing.T) {
	card := pci.MustCardRef("pve1/0000:03:00.0")
	tests := []struct {
		name, old string
		raw       bool
		card      inventory.Card
		want      string
	}{
		{"a card goes in by its register", "", false, inventory.Card{Ref: card, PCIe: true, ROMBar: true}, "mapping=gpu-pve1-0000-03-00,pcie=1"},
		{"root may write the address, all functions of the slot", "", true, inventory.Card{Ref: card, PCIe: true, ROMBar: true}, "host=0000:03:00,pcie=1"},
		{"options that we do not know stay", "mapping=old,driver=keep,rombar=0", false, inventory.Card{Ref: card, PCIe: true, ROMBar: true}, "mapping=gpu-pve1-0000-03-00,driver=keep,pcie=1"},
		{"the ROM is hidden and the card is the display", "0000:09:00,pcie=1", false, inventory.Card{Ref: card, XVGA: true}, "mapping=gpu-pve1-0000-03-00,x-vga=1,rombar=0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := cardValue(tt.old, registerName(card), tt.raw, tt.card)
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRegisterNamesReadBack(t *testing.T) {
	card := pci.MustCardRef("gpu-host-7/0001:af:1f.0")
	name := registerName(card)
	host, back, ok := parseRegister(name)
	if !ok || host != "gpu-host-7" || back != card.Slot {
		t.Errorf("%s reads back as %s %s %v", name, host, back, ok)
	}
	for _, foreign := range []string{"tesla", "gpu-a", "gpu-x-y-z-w"} {
		if _, _, ok := parseRegister(foreign); ok {
			t.Errorf("%q was taken for a register", foreign)
		}
	}
}

func TestAPendingRemovalStillHoldsTheCard(t *testing.T) {
	config := pve.PendingConfig{Options: map[string]pve.PendingOption{
		"hostpci0": {Value: "0000:03:00,pcie=1", HasValue: true, Delete: true},
		"hostpci1": {Pending: "mapping=tesla", HasPending: true},
	}}
	known := mappings{"tesla": {ID: "tesla", Map: []string{"node=pve1,path=0000:04:00.0;0000:04:00.1,id=10de:1eb8", "node=pve2,path=0000:05:00,id=10de:1eb8"}}}
	vm := parseVM(config, "pve1", 100, known)
	for _, card := range []string{"pve1/0000:03:00.0", "pve1/0000:04:00.0"} {
		if !vm.Holds(pci.MustCardRef(card)) {
			t.Errorf("the VM does not hold %s: %+v", card, vm.Cards)
		}
	}
	if vm.Holds(pci.MustCardRef("pve1/0000:05:00.0")) || vm.Holds(pci.MustCardRef("pve2/0000:05:00.0")) {
		t.Error("a mapping's entry for another host counts")
	}
}
