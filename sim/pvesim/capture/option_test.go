package capture

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

func TestOptionsKeepTheirMeaningAndLoseTheirSecrets(t *testing.T) {
	tests := map[string]struct{ key, value, want string }{
		"numbers stay":                                {"cores", "4", "4"},
		"a machine with its version stays":            {"machine", "pc-q35-9.0+pve0,viommu=virtio", "pc-q35-9.0+pve0,viommu=virtio"},
		"a disk loses serial and WWN":                 {"scsi0", "local-lvm:vm-100-disk-0,discard=on,serial=WD-123,size=32G,wwn=0x5000c500a1b2c3d4", "local-lvm:vm-100-disk-0,discard=on,size=32G"},
		"a linked clone keeps its base":               {"scsi0", "tank:100/base-9-disk-0.qcow2/101/vm-101-disk-0.qcow2", "storage1:100/base-9-disk-0.qcow2/101/vm-101-disk-0.qcow2"},
		"a linked clone on ZFS keeps its base":        {"scsi0", "tank:base-9000-disk-0/vm-101-disk-0,size=8G", "storage1:base-9000-disk-0/vm-101-disk-0,size=8G"},
		"a disk with a name of its own gets another":  {"scsi0", "tank:100/payroll.qcow2,size=1G", "storage1:100/vm-100-disk-9001.qcow2,size=1G"},
		"a disk of the host is not named":             {"virtio1", "/dev/disk/by-id/ata-WDC_WD40-123,size=4T", "/dev/disk/by-id/disk1,size=4T"},
		"an empty CD drive stays":                     {"ide2", "none,media=cdrom", "none,media=cdrom"},
		"an image has no name":                        {"ide2", "tank:iso/our-golden-image.iso,media=cdrom,size=600M", "storage1:iso/iso1.iso,media=cdrom,size=600M"},
		"an EFI disk stays":                           {"efidisk0", "tank:vm-100-disk-1,efitype=4m,pre-enrolled-keys=1,size=1M", "storage1:vm-100-disk-1,efitype=4m,pre-enrolled-keys=1,size=1M"},
		"a TPM stays":                                 {"tpmstate0", "tank:vm-100-disk-2,size=4M,version=v2.0", "storage1:vm-100-disk-2,size=4M,version=v2.0"},
		"an unused disk stays unused":                 {"unused3", "tank:vm-100-disk-7", "storage1:vm-100-disk-7"},
		"a network card gets another address":         {"net0", "virtio=DE:AD:BE:EF:00:01,bridge=vmbr0,firewall=1,tag=5", "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=5"},
		"a network card in the long form, too":        {"net0", "model=e1000,macaddr=DE:AD:BE:EF:00:01,bridge=lab0", "model=e1000,macaddr=BC:24:11:00:00:01,bridge=bridge1"},
		"a raw device stays":                          {"hostpci0", "0000:03:00,pcie=1,x-vga=1", "0000:03:00,pcie=1,x-vga=1"},
		"a firmware file goes":                        {"hostpci0", "0000:03:00.0,romfile=vbios-of-ours.bin", "0000:03:00.0"},
		"a mapping gets another name":                 {"hostpci1", "mapping=payroll-gpu,pcie=1", "mapping=mapping1,pcie=1"},
		"gpuworker's mapping keeps its form":          {"hostpci1", "mapping=gpu-rack-7-0000-03-00", "mapping=gpu-host1-0000-03-00"},
		"only the UUID and a pseudonym of the serial": {"smbios1", "uuid=5E2A0000-0000-4000-8000-000000000001,manufacturer=QWNtZQ==,serial=QUJD,base64=1", "uuid=c0000000-0000-4000-8000-000000000001,serial=serial1"},
		"a password is the simulator's":               {"cipassword", "**********", "simulator"},
		"keys are nobody's":                           {"sshkeys", "ssh-rsa%20AAAAB3%20jane%40laptop%0A", publicKey},
		"an address moves":                            {"ipconfig0", "ip=172.20.1.7/16,gw=172.20.0.1", "ip=192.0.2.7/16,gw=198.51.100.1"},
		"an address of documentation stays":           {"ipconfig0", "ip=203.0.113.7/24", "ip=203.0.113.7/24"},
		"our tags and templates stay":                 {"tags", "gpuworker;gpuworker-parked;payroll", "gpuworker;gpuworker-parked;tag1"},
		"a CPU type of the cluster's own":             {"cpu", "cputype=custom-payroll,hidden=1,hv-vendor-id=acme", "cputype=custom-cpu1,hidden=1"},
		"a note that is not ours goes":                {"description", "ask Jane, 555-0100", ""},
		"a broken note of ours goes":                  {"description", "gpuworker: pool=payroll", ""},
		"arguments go":                                {"args", "-fw_cfg name=opt/secret,string=x", ""},
		"options that nobody knows go":                {"payroll", "1", ""},
		"a path of the host goes":                     {"serial1", "/dev/serial/by-id/usb-acme", "/dev/ttyS0"},
		"where it was made goes":                      {"meta", "creation-qemu=9.0.2,ctime=1700000000", "creation-qemu=9.0.2"},
		"a hook has no name":                          {"hookscript", "local:snippets/acme-hook.pl", "local:snippets/snippet1.pl"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNames(false, nil)
			n.of(hostKind, "rack-7")
			got, ok := n.option(100, test.key, test.value)
			if got != test.want || ok != (test.want != "") {
				t.Errorf("%s: %s became %q, %t; want %q", test.key, test.value, got, ok, test.want)
			}
		})
	}
}

func TestARecordStillProvesWhatItProved(t *testing.T) {
	n := newNames(false, nil)
	n.of(hostKind, "rack-7")
	n.vm(120, "gpu-7")
	record := inventory.Record{WorkerKey: inventory.WorkerKey{Worker: "gpu-7", Pool: "payroll", KubeCluster: "prod"}, Lifecycle: "SemiPersistent", VM: "120",
		UUID: "5e2a0000-0000-4000-8000-000000000001", Host: "rack-7", Card: pci.MustCardRef("rack-7/0000:03:00.0"), Template: "ubuntu", Labels: "team=payroll",
		Taints: "team=payroll:NoSchedule,gone:NoExecute", By: "jane@laptop"}
	name, _ := n.option(120, "name", "gpu-7")
	identity, _ := n.option(120, "smbios1", "uuid=5E2A0000-0000-4000-8000-000000000001")
	note, ok := n.option(120, "description", "Ask Jane.\n"+record.Line("made", "payroll"))
	found, parsed := inventory.ParseRecord(note)
	got := found.Record
	if !ok || !parsed || found.Rest != "" || !slices.Equal(found.Flags, []string{"made"}) {
		t.Fatalf("the note is %q", note)
	}
	if got.Worker != name || "uuid="+got.UUID != identity || got.VM != "120" || got.Card != pci.MustCardRef("host1/0000:03:00.0") || got.Host != "host1" {
		t.Errorf("the record does not fit its VM any more: %+v, name %s, %s", got, name, identity)
	}
	if want := "label1=value1:NoSchedule,label2:NoExecute"; got.Taints != want {
		t.Errorf("taints are %q, want %q", got.Taints, want)
	}
	for _, secret := range []string{"jane", "payroll", "prod", "rack", "laptop"} {
		if strings.Contains(strings.ToLower(note), secret) {
			t.Errorf("%q is in %q", secret, note)
		}
	}
}

func TestNamesAreCountedAsPeopleCount(t *testing.T) {
	names := []string{"pve10", "pve2", "pve1", "pve02", "PVE1", "pve", "pve1-b", "pve1a", "10", "9", "größe2", "größe10"}
	slices.SortFunc(names, natural)
	want := "9 10 PVE1 größe2 größe10 pve pve1 pve1-b pve1a pve02 pve2 pve10"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestNeighboursStayNeighbours(t *testing.T) {
	n := nets{taken: map[string]bool{"198.51.100": true}}
	tests := []struct{ from, to string }{
		{"10.1.2.3", "192.0.2.3"}, {"10.1.2.4", "192.0.2.4"}, {"10.1.3.3", "203.0.113.3"}, {"198.51.100.9", "198.51.100.9"},
		{"10.1.4.3", "198.18.0.3"}, {"10.1.5.3", "198.18.1.3"}, {"127.0.0.1", "127.0.0.1"}, {"::ffff:10.1.2.5", "192.0.2.5"},
		{"fd00:1::a", "2001:db8:ca:1::1"}, {"fd00:1::b", "2001:db8:ca:1::2"}, {"fd00:2::a", "2001:db8:ca:2::1"}, {"fe80::be24:11ff:fe00:1%eth0", "2001:db8:ca:3::1"},
	}
	for _, test := range tests {
		if got := n.address(netip.MustParseAddr(test.from)).String(); got != test.to {
			t.Errorf("%s became %s, want %s", test.from, got, test.to)
		}
	}
}

// FuzzOptions: whatever a cluster has in an option, what is kept of it is an
// option that pvesim takes, and capturing it again changes nothing.
func FuzzOptions(f *testing.F) {
	for _, seed := range [][2]string{{"scsi0", "tank:100/x.qcow2,size=1G,serial=y"}, {"net0", "virtio=DE:AD:BE:EF:00:01,bridge=lab"},
		{"hostpci0", "mapping=x,pcie=1"}, {"description", "gpuworker: worker=a pool=b labels=c%3Dd made"}, {"smbios1", "uuid=x,serial=y"},
		{"ipconfig0", "ip=fd00::1/64,gw6=fe80::1"}, {"tags", "B;a c,d"}, {"cicustom", "user=local:snippets/a.yaml"}, {"nameserver", "10.0.0.1 ns"},
		{"cpu", "custom-x,flags=+aes"}, {"usb0", "mapping=x"}, {"unused0", "a:b"}, {"hookscript", "local:snippets/x.pl"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		once, ok := newNames(false, nil).option(100, key, value)
		if !ok {
			return
		}
		if err := pvesim.CheckOption(key, once); err != nil {
			t.Errorf("%s: %q became %q: %v", key, value, once, err)
		}
		if twice, ok := newNames(false, nil).option(100, key, once); twice != once || !ok {
			t.Errorf("%s: %q became %q, and then %q, %t", key, value, once, twice, ok)
		}
	})
}
