package pvesim

import (
	"fmt"
	"slices"
	"strings"
)

// capabilityCalls return the capabilities of a host's QEMU. All hosts of a world have
// the QEMU of the product's version.
func capabilityCalls() []call {
	const base = "/nodes/{node}/capabilities"
	arch := specs{"arch": oneOf("x86_64", "aarch64")}
	return []call{
		{method: "GET", path: base, serve: index("name", "qemu")},
		{method: "GET", path: base + "/qemu", serve: index("name", "cpu", "cpu-flags", "machines", "migration")},
		{method: "GET", path: base + "/qemu/cpu", params: arch, proxy: anyHost, serve: (*Sim).listCPUModels},
		{method: "GET", path: base + "/qemu/cpu-flags", params: arch, proxy: anyHost, serve: listCPUFlags},
		{method: "GET", path: base + "/qemu/machines", params: arch, serve: (*Sim).listMachines},
		{method: "GET", path: base + "/qemu/migration", may: perm("/nodes/{node}", "Sys.Audit"),
			serve: func(*Sim, *request) (any, error) { return map[string]any{"has-dbus-vmstate": true}, nil }},
		// The hosts of a world have no USB devices.
		{method: "GET", path: "/nodes/{node}/hardware/usb", may: perm("/", "Sys.Modify"), protected: true,
			serve: func(*Sim, *request) (any, error) { return []any{}, nil }},
	}
}

// bpg's provider lists processors and machines before it creates a VM.

// cpuModels are the processors that QEMU can emulate on x86-64, by vendor; "default"
// stands for the host's vendor. Source: QEMU's target/i386/cpu.c; older models are left
// out.
var cpuModels = map[string]string{
	"default": "host max kvm64 kvm32 qemu64 qemu32",
	"GenuineIntel": "Nehalem Nehalem-IBRS Westmere Westmere-IBRS SandyBridge SandyBridge-IBRS IvyBridge IvyBridge-IBRS " +
		"Haswell Haswell-IBRS Haswell-noTSX Haswell-noTSX-IBRS Broadwell Broadwell-IBRS Broadwell-noTSX Broadwell-noTSX-IBRS " +
		"Skylake-Client Skylake-Client-IBRS Skylake-Client-noTSX-IBRS Skylake-Server Skylake-Server-IBRS Skylake-Server-noTSX-IBRS " +
		"Cascadelake-Server Cascadelake-Server-noTSX Cooperlake Icelake-Server Icelake-Server-noTSX SapphireRapids GraniteRapids SierraForest",
	"AuthenticAMD": "Opteron_G1 Opteron_G2 Opteron_G3 Opteron_G4 Opteron_G5 EPYC EPYC-IBPB EPYC-v3 EPYC-v4 EPYC-Rome EPYC-Rome-v2 " +
		"EPYC-Rome-v3 EPYC-Rome-v4 EPYC-Milan EPYC-Milan-v2 EPYC-Genoa",
}

// listCPUModels lists QEMU's models and those of Proxmox VE.
func (s *Sim) listCPUModels(r *request) (any, error) {
	if r.args.get("arch") == "aarch64" {
		return nil, notSimulated("an emulated processor of another architecture")
	}
	out := []any{}
	for _, vendor := range []string{"default", "GenuineIntel", "AuthenticAMD"} {
		for _, name := range strings.Fields(cpuModels[vendor]) {
			out = append(out, map[string]any{"name": name, "custom": 0, "vendor": vendor})
		}
	}
	for _, name := range []string{"x86-64-v2", "x86-64-v2-AES", "x86-64-v3", "x86-64-v4"} {
		model := map[string]any{"name": name, "custom": 0, "vendor": "default"}
		if !s.productBefore(9, 2) {
			model["abstract"] = 1
		}
		out = append(out, model)
	}
	return out, nil
}

// listCPUFlags lists the flags for a VM's cpu option, without descriptions.
func listCPUFlags(_ *Sim, r *request) (any, error) {
	out := []any{}
	if r.args.get("arch") == "aarch64" {
		return out, nil
	}
	for _, name := range []string{"nested-virt", "md-clear", "pcid", "spec-ctrl", "ssbd", "ibpb", "virt-ssbd", "amd-ssbd", "amd-no-ssb",
		"pdpe1gb", "hv-tlbflush", "hv-evmcs", "aes"} {
		out = append(out, map[string]any{"name": name})
	}
	return out, nil
}

// machineVersions are the versions of QEMU's machines, newest first, with the changes of
// Proxmox VE in its own revisions.
var machineVersions = []struct{ version, revision string }{
	{"10.1", ""}, {"10.0", "Set host_mtu vNIC option even with default value for migration compat."},
	{"9.2", "Disables S3/S4 power states by default."}, {"9.1", ""}, {"9.0", ""}, {"8.2", ""}, {"8.1", ""}, {"8.0", ""},
	{"7.2", ""}, {"7.1", ""}, {"7.0", ""}, {"6.2", ""}, {"6.1", ""}, {"6.0", ""},
}

// qemuVersion is the version of the newest machine: Proxmox VE 8.4 has QEMU 9.2.
func (s *Sim) qemuVersion() string {
	if s.major < 9 {
		return "9.2"
	}
	return "10.1"
}

// listMachines lists the machine types, each kind in each version.
func (s *Sim) listMachines(r *request) (any, error) {
	if r.args.get("arch") == "aarch64" {
		return nil, notSimulated("an emulated processor of another architecture")
	}
	newest := slices.IndexFunc(machineVersions, func(m struct{ version, revision string }) bool { return m.version == s.qemuVersion() })
	out := []any{}
	for _, m := range machineVersions[newest:] {
		if m.revision != "" {
			for _, machine := range machinesOf(m.version + "+pve1") {
				out = append(out, merge(machine, map[string]any{"changes": m.revision}))
			}
		}
		for _, machine := range machinesOf(m.version) {
			out = append(out, machine)
		}
	}
	return out, nil
}

func machinesOf(version string) []map[string]any {
	var out []map[string]any
	for _, kind := range []string{"i440fx", "q35"} {
		out = append(out, map[string]any{"id": fmt.Sprintf("pc-%s-%s", kind, version), "type": kind, "version": version})
	}
	return out
}
