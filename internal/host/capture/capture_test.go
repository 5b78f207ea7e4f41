package capture

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// host is a machine with secrets: each begins with "canary", or is a number that
// identifies the machine.
const host = `
-- sys/bus/pci/devices/0000:01:00.0 -> ../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0 --
-- sys/bus/pci/devices/0000:02:00.0 -> ../../../devices/pci0000:00/0000:00:02.0/0000:02:00.0 --
-- sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/class --
0x030200
-- sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/vendor --
0x10de
-- sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/device --
0x1eb8
-- sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/vpd (hex) --
63616e6172792d767064
-- sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/config (hex) --
de10b81e00000000000000000000000000000000000000000000000000000000
0000000000000000000000000000000000000000000000000000000000000000
63616e6172792d73657269616c
-- sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/driver -> ../../../../bus/pci/drivers/nvidia --
-- sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/iommu_group -> ../../../../kernel/iommu_groups/14 --
-- sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/reset (denied) --
-- sys/devices/pci0000:00/0000:00:02.0/0000:02:00.0/class --
0x020000
-- sys/devices/pci0000:00/0000:00:02.0/0000:02:00.0/usb3/3-1/product --
canary's telephone
-- sys/devices/pci0000:00/0000:00:02.0/0000:02:00.0/usb3/3-1/serial --
canary-usb-serial
-- sys/devices/pci0000:00/0000:00:02.0/0000:02:00.0/usb3/3-1/busnum --
3
-- sys/devices/pci0000:00/0000:00:02.0/0000:02:00.0/usb3/3-1/3-1:1.0/bInterfaceClass --
06
-- sys/bus/usb/devices/3-1 -> ../../../devices/pci0000:00/0000:00:02.0/0000:02:00.0/usb3/3-1 --
-- sys/bus/usb/devices/3-1:1.0 -> ../../../devices/pci0000:00/0000:00:02.0/0000:02:00.0/usb3/3-1/3-1:1.0 --
-- sys/bus/pci/drivers/nvidia/canary-other --
x
-- sys/kernel/iommu_groups/14/type --
DMA-FQ
-- sys/class/iommu/dmar0/ --
-- sys/class/net/eno1 -> ../../devices/pci0000:00/0000:00:02.0/0000:02:00.0/net/eno1 --
-- proc/cmdline --
BOOT_IMAGE=/boot/vmlinuz root=UUID=6f9619ff-8b86-d011-b42d-00c04fc964ff iommu.passthrough=1 ip=10.1.2.3 token=canary-token quiet
-- proc/mounts --
//canary-files/home /home/canary cifs rw,username=canary,domain=CANARY 0 0
-- etc/gpuworker-host/cards/0000:01:00.card --
gpuworker-host card 1
slot 0000:01:00
serial canary5f00112233
end
-- etc/modprobe.d/net.conf --
options wireless psk=canary-psk
# http://someone:canary-pw@example.org/
-- sys/class/net/enxaabbccddeeff -> ../../devices/pci0000:00/0000:00:02.0/0000:02:00.0/usb1/net/enxaabbccddeeff --
-- proc/iomem (denied) --
-- proc/sys/kernel/osrelease --
6.8.12-4-pve
-- proc/sys/kernel/hostname --
canary-host
-- lib/modules/6.8.12-4-pve/modules.builtin --
kernel/drivers/vfio/vfio.ko
kernel/fs/canary.ko
-- etc/default/grub --
GRUB_CMDLINE_LINUX="intel_iommu=on"
password_pbkdf2 root canary-hash
# changed by canary.person@canary.example
-- etc/shadow --
canary-shadow
-- etc/pve/qemu-server/204.conf --
#canary notes
agent: 1
hostpci0: 0000:01:00,pcie=1
machine: q35
name: canary-vm
net0: virtio=AA:BB:CC:DD:EE:FF,bridge=vmbr0
smbios1: uuid=6f9619ff-8b86-d011-b42d-00c04fc964ff

[canary-snapshot]
hostpci0: 0000:02:00
-- proc/driver/nvidia/gpus/0000:01:00.0/information --
Model: 		 Tesla T4
GPU UUID: 	 GPU-canary
Device Minor: 	 0
-- proc/4711/comm --
kvm
-- proc/4711/cmdline (hex) --
2f7573722f62696e2f6b766d002d69640032303400 2d6e616d650063616e6172792d766d00
-- proc/4711/fd/30 -> /dev/vfio/14 --
-- proc/4711/fd/31 -> /home/canary/disk --
-- proc/4712/comm --
canary-program
-- proc/4712/fd/1 -> /home/canary/file --
-- run/qemu-server/pci-id-reservations --
0000:01:00.0 204 pid:4711
-- usr/share/misc/pci.ids --
1000  Canary Vendor
	0001  canary device
10de  NVIDIA Corporation
	1eb8  TU104GL [Tesla T4]
`

func parse(t *testing.T, text string) *hosttree.Archive {
	t.Helper()
	archive, err := hosttree.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

func TestACapturedHostReadsLikeTheHost(t *testing.T) {
	live := parse(t, host)
	captured, err := Capture(live, Options{})
	if err != nil {
		t.Fatal(err)
	}
	again := parse(t, string(captured.Format()))
	want, err := hostpci.Read(live)
	if err != nil {
		t.Fatal(err)
	}
	got, err := hostpci.Read(again)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(pci.BDF{})); diff != "" {
		t.Errorf("devices (-live +captured):\n%s", diff)
	}
	if diff := cmp.Diff(hostpci.ReadHolders(live, want), hostpci.ReadHolders(again, got)); diff != "" {
		t.Errorf("holders (-live +captured):\n%s", diff)
	}
	twice, err := Capture(again, Options{})
	if err != nil || string(twice.Format()) != string(captured.Format()) {
		t.Errorf("a capture of the capture differs: %v\n%s", err, cmp.Diff(string(captured.Format()), string(twice.Format())))
	}
}

func TestNothingPersonalIsCaptured(t *testing.T) {
	captured, err := Capture(parse(t, host), Options{})
	if err != nil {
		t.Fatal(err)
	}
	text := string(captured.Format())
	for _, secret := range []string{"canary", "63616e617279", "6f9619ff", "10.1.2.3", "AA:BB:CC", "aabbcc"} {
		if i := strings.Index(strings.ToLower(text), strings.ToLower(secret)); i >= 0 {
			t.Errorf("%q is in the archive: …%s…", secret, text[max(0, i-60):min(len(text), i+60)])
		}
	}
	for _, needed := range []string{
		"iommu.passthrough=1", `GRUB_CMDLINE_LINUX="intel_iommu=on"`, "hostpci0: 0000:01:00,pcie=1", "-- proc/iomem (denied) --",
		"vfio.ko", "Device Minor", "net/eno1", "net/enx", "-- etc/gpuworker-host/cards/0000:01:00.card --\ndamaged\n", "quiet", "usb3/3-1/3-1:1.0/bInterfaceClass --\n06\n",
	} {
		if !strings.Contains(text, needed) {
			t.Errorf("%q is not in the archive", needed)
		}
	}
}

// watched is a tree that fails the test when a file of VFIO is opened.
type watched struct {
	hosttree.Reader
	t *testing.T
}

func (w watched) ReadFile(name string) ([]byte, error) {
	if strings.HasPrefix(name, "dev/vfio/") {
		w.t.Errorf("%s is opened", name)
	}
	return w.Reader.ReadFile(name)
}

func (w watched) ReadDir(name string) ([]string, error) {
	if strings.HasPrefix(name, "dev/vfio/") {
		w.t.Errorf("%s is opened", name)
	}
	return w.Reader.ReadDir(name)
}

// A group of VFIO has one user at a time: opening its file would keep a VM from
// starting.
func TestNoDeviceIsOpened(t *testing.T) {
	captured, err := Capture(watched{parse(t, host+"-- dev/vfio/14 --\n-- dev/vfio/vfio --\n"), t}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if names, err := captured.ReadDir("dev/vfio"); err != nil || strings.Join(names, " ") != "14 vfio" {
		t.Errorf("%v, %v", names, err)
	}
}
