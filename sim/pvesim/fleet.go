package pvesim

import (
	"fmt"
	"strconv"
	"strings"
)

// Fleet is the size of a generated cluster for measurements: hosts with GPUs, each alone
// in its IOMMU group, a template on each host, and foreign VMs. The first VM of each
// host has the first card by its address.
type Fleet struct {
	Hosts int // hosts with GPUs
	Plain int // further hosts without GPUs
	GPUs  int // per host with GPUs
	VMs   int // per host, including the template
}

// ParseFleet reads "200x5x25": hosts, GPUs per host, VMs per host; and "200+50x5x25" for
// 50 more hosts without GPUs.
func ParseFleet(text string) (Fleet, error) {
	wrong := fmt.Errorf("%q is not a size of a fleet: write HOSTSxGPUSxVMS such as 200x5x25, or 200+50x5x25 with 50 hosts without GPUs", text)
	parts := strings.Split(text, "x")
	if len(parts) != 3 {
		return Fleet{}, wrong
	}
	with, without, plain := strings.Cut(parts[0], "+")
	if !plain {
		without = "0"
	}
	var n [4]int
	for i, part := range []string{with, without, parts[1], parts[2]} {
		var err error
		if n[i], err = strconv.Atoi(part); err != nil || n[i] < 0 {
			return Fleet{}, wrong
		}
	}
	f := Fleet{n[0], n[1], n[2], n[3]}
	if f.Hosts+f.Plain < 1 || f.Hosts+f.Plain > 2000 || f.GPUs > 64 || f.VMs < 1 || f.VMs > 1000 {
		return Fleet{}, fmt.Errorf("a fleet of %q is too small or too large: 1 to 2,000 hosts, at most 64 GPUs and 1 to 1,000 VMs per host", text)
	}
	return f, nil
}

// World returns the cluster. The token for engines is gpuworker@pve!engine, which has
// all privileges.
func (f Fleet) World() World {
	w := World{
		Version: "9.1.4", Seed: 1, Cluster: "fleet", Workers: 3,
		Storages: []Storage{{Name: "local-lvm", Type: "lvmthin", Content: []string{"images", "rootdir"}, CapacityGiB: 4096}},
		Users:    []User{{ID: "root@pam", Password: "fleet-root"}, {ID: "gpuworker@pve"}},
		Tokens:   []Token{{ID: "gpuworker@pve!engine", Secret: "11111111-1111-4111-8111-111111111111"}},
		ACL: []ACL{
			{Path: "/", Subject: "gpuworker@pve", Role: "Administrator"},
			{Path: "/", Subject: "gpuworker@pve!engine", Role: "Administrator"},
		},
	}
	for h := range f.Hosts + f.Plain {
		host := f.host(h)
		w.Hosts = append(w.Hosts, host)
		w.VMs = append(w.VMs, f.template(h, host.Name))
		for v := range f.VMs - 1 {
			w.VMs = append(w.VMs, f.vm(h, v, host.Name))
		}
	}
	return w
}

func (f Fleet) host(h int) Host {
	host := Host{
		Name: fmt.Sprintf("h%03d", h), CPUs: 256, MemoryGiB: 2048, NICs: []string{"eno1"},
		Bridges: []Bridge{{Name: "vmbr0", CIDR: fmt.Sprintf("10.%d.%d.1/24", 64+h/250, h%250), Ports: "eno1"}},
		PCI: []PCIFunction{{
			Address: "0000:01:00.0", Class: "0x020000", ID: "8086:1572", Vendor: "Intel Corporation",
			Name: "Ethernet Controller X710 for 10GbE SFP+", Subsystem: "8086:0000", Group: 30, Driver: "i40e",
		}},
	}
	for g := range f.GPUs {
		if h < f.Hosts {
			host.PCI = append(host.PCI, PCIFunction{
				Address: fmt.Sprintf("0000:%02x:00.0", 0x81+g), Class: "0x030200", ID: "10de:1eb8",
				Vendor: "NVIDIA Corporation", Name: "TU104GL [Tesla T4]", Subsystem: "10de:12a2", Group: 40 + g, Driver: "vfio-pci",
			})
		}
	}
	return host
}

func (f Fleet) template(h int, host string) VM {
	id := 100000 + h
	return VM{ID: id, Host: host, Guest: Guest{OS: "ubuntu", Agent: true}, Config: map[string]any{
		"name": "ubuntu-22.04", "template": 1, "memory": "2048", "cores": 2, "ostype": "l26", "agent": "1", "boot": "order=scsi0",
		"scsi0": fmt.Sprintf("local-lvm:base-%d-disk-0,size=10G", id), "ide2": fmt.Sprintf("local-lvm:vm-%d-cloudinit,media=cdrom", id),
		"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", "serial0": "socket", "vga": "serial0",
	}}
}

func (f Fleet) vm(h, v int, host string) VM {
	id := 200000 + h*1000 + v
	vm := VM{ID: id, Host: host, Running: true, Config: map[string]any{
		"name": fmt.Sprintf("vm-%d-%d", h, v), "memory": "2048", "cores": 2, "machine": "q35", "ostype": "l26",
		"scsi0": fmt.Sprintf("local-lvm:vm-%d-disk-0,size=10G", id),
		"net0":  fmt.Sprintf("virtio=BC:24:11:%02X:%02X:%02X,bridge=vmbr0", 0x10+v/256, h%256, v%256),
	}}
	if v == 0 && h < f.Hosts && f.GPUs > 0 {
		vm.Config["hostpci0"] = "0000:81:00,pcie=1"
	}
	return vm
}
