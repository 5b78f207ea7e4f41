package pvesim

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// knownCPUs are the CPU models of QEMU, cpuLevels those that Proxmox adds.
var knownCPUs = []string{
	"486", "a64fx", "athlon", "Broadwell", "Broadwell-IBRS", "Broadwell-noTSX", "Broadwell-noTSX-IBRS",
	"Cascadelake-Server", "Cascadelake-Server-noTSX", "Cascadelake-Server-v2", "Cascadelake-Server-v4",
	"Cascadelake-Server-v5", "ClearwaterForest", "Conroe", "Cooperlake", "Cooperlake-v2", "core2duo", "coreduo",
	"cortex-a35", "cortex-a53", "cortex-a55", "cortex-a57", "cortex-a710", "cortex-a72", "cortex-a76", "EPYC",
	"EPYC-Genoa", "EPYC-Genoa-v2", "EPYC-IBPB", "EPYC-Milan", "EPYC-Milan-v2", "EPYC-Milan-v3", "EPYC-Rome",
	"EPYC-Rome-v2", "EPYC-Rome-v3", "EPYC-Rome-v4", "EPYC-Rome-v5", "EPYC-Turin", "EPYC-v3", "EPYC-v4", "EPYC-v5",
	"GraniteRapids", "GraniteRapids-v2", "GraniteRapids-v3", "Haswell", "Haswell-IBRS", "Haswell-noTSX",
	"Haswell-noTSX-IBRS", "host", "Icelake-Client", "Icelake-Client-noTSX", "Icelake-Server", "Icelake-Server-noTSX",
	"Icelake-Server-v3", "Icelake-Server-v4", "Icelake-Server-v5", "Icelake-Server-v6", "Icelake-Server-v7",
	"IvyBridge", "IvyBridge-IBRS", "KnightsMill", "kvm32", "kvm64", "max", "Nehalem", "Nehalem-IBRS", "neoverse-n1",
	"neoverse-n2", "neoverse-v1", "Opteron_G1", "Opteron_G2", "Opteron_G3", "Opteron_G4", "Opteron_G5", "Penryn",
	"pentium", "pentium2", "pentium3", "phenom", "qemu32", "qemu64", "SandyBridge", "SandyBridge-IBRS",
	"SapphireRapids", "SapphireRapids-v2", "SapphireRapids-v3", "SapphireRapids-v4", "SierraForest", "SierraForest-v2",
	"SierraForest-v3", "Skylake-Client", "Skylake-Client-IBRS", "Skylake-Client-noTSX-IBRS", "Skylake-Client-v4",
	"Skylake-Server", "Skylake-Server-IBRS", "Skylake-Server-noTSX-IBRS", "Skylake-Server-v4", "Skylake-Server-v5",
	"Westmere", "Westmere-IBRS",
}

var cpuLevels = []string{"x86-64-v2", "x86-64-v2-AES", "x86-64-v3", "x86-64-v4"}

// cpuFlags are the flags that a VM may set. Others could leak information about the
// host.
var cpuFlags = []string{"aes", "amd-no-ssb", "amd-ssbd", "hv-evmcs", "hv-tlbflush", "ibpb", "md-clear", "nested-virt", "pcid",
	"pdpe1gb", "spec-ctrl", "ssbd", "virt-ssbd"}

var cpuFormat = &propFormat{defaultKey: "cputype", whole: checkCPU, props: specs{
	"cputype": text(), "hidden": boolean(), "reported-model": oneOf(knownCPUs...), "hv-vendor-id": matching(`[a-zA-Z0-9]{1,12}`),
	"flags": matching(anyFlag + `(?:;` + anyFlag + `)*`), "phys-bits": formatted(physBitsFormat),
	"guest-phys-bits": integer().atLeast(32).atMost(64), "level": integer().atLeast(0).atMost(4294967295),
}}

const anyFlag = `[+-][a-zA-Z0-9\-_.]+`

func physBitsFormat(_, v string) string {
	if n, err := strconv.Atoi(v); v != "host" && (err != nil || n < 8 || n > 64) {
		return "value must be an integer between 8 and 64 or 'host'"
	}
	return ""
}

var allowedFlags = regexp.MustCompile(`^[+-](?:` + strings.Join(cpuFlags, "|") + `)(?:;[+-](?:` + strings.Join(cpuFlags, "|") + `))*$`)

// checkCPU refuses values of a VM's CPU that are well-formed but not allowed.
func checkCPU(props map[string]string) string {
	model := props["cputype"]
	custom := strings.HasPrefix(model, "custom-")
	switch {
	case model == "" && len(props) == 0:
		return ""
	case !custom && !slices.Contains(knownCPUs, model) && !slices.Contains(cpuLevels, model):
		return fmt.Sprintf("Built-in cputype '%s' is not defined (missing 'custom-' prefix?)", model)
	case props["flags"] != "" && !allowedFlags.MatchString(props["flags"]):
		return "VM-specific CPU flags must be a subset of: " + strings.Join(cpuFlags, ", ")
	case props["reported-model"] != "":
		return "Property 'reported-model' not allowed in VM-specific CPU config."
	}
	return ""
}
