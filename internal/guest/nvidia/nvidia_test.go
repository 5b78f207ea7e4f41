package nvidia

import (
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/pci"
)

func TestTheVersionTellsOpenFromProprietary(t *testing.T) {
	for text, want := range map[string]guest.Driver{
		"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  565.57.01  Release Build  (dvs-builder@U16-A24-9-2)  Thu Oct 10 12:15:00 UTC 2024\nGCC version:  gcc version 13.3.0\n": {Version: "565.57.01", Open: true},
		"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  525.60.11  Release Build  (archlinux-builder@localhost)  \n":                                                           {Version: "525.60.11", Open: true},
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 10:11:16 UTC 2025\nGCC version:  gcc version 13.3.0\n":                                                    {Version: "580.95.05"},
		"NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  610.3  Release Build":                                                                                                 {Version: "610.3", Open: true},
	} {
		if got, ok := ParseVersion(text); !ok || got != want {
			t.Errorf("%q: %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "NVRM version: ", "NVIDIA UNIX x86_64 Kernel Module  580.95.05", "NVRM version: Kernel Module none\n580.95.05"} {
		if got, ok := ParseVersion(text); ok {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestTheListOfNvidiaSMI(t *testing.T) {
	const text = "GPU 0: Tesla T4 (UUID: GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689)\n" +
		"  MIG 1g.5gb Device 0: (UUID: MIG-5f9f1a9c-1d6e-5b1f-a3f2-6b2c1a6a7f10)\n" +
		"GPU 1: NVIDIA L4 (UUID: GPU-nonsense)\n" +
		"Unable to determine the device handle for GPU1: 0000:02:00.0: Unknown Error\n"
	got := ParseList(text)
	if len(got) != 1 || got[0].Model != "Tesla T4" || got[0].UUID != "GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689" {
		t.Errorf("%+v", got)
	}
	if many := ParseList(strings.Repeat(text, 1000)); len(many) != maxGPUs {
		t.Errorf("%d GPUs", len(many))
	}
}

func TestTheInformationAboutAGPU(t *testing.T) {
	const text = "Model: \t\t NVIDIA L4\nIRQ:   \t\t 16\nGPU UUID: \t GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689\nBus Type: \t PCIe\nBus Location: \t 0000:70:00.0\nDevice Minor: \t 0\n"
	want := GPU{BDF: pci.MustBDF("0000:70:00.0"), Model: "NVIDIA L4", UUID: "GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689"}
	if got := ParseInformation(text); got != want {
		t.Errorf("%+v", got)
	}
	if got := ParseInformation("GPU UUID: \t GPU-????????-????-????-????-????????????\n"); got != (GPU{}) {
		t.Errorf("a GPU that was not started: %+v", got)
	}
}

func TestTheVersionOfALibrary(t *testing.T) {
	for file, want := range map[string]string{"libnvidia-ml.so.580.95.05": "580.95.05", "libnvidia-ml.so.1": "", "libnvidia-ml.so": "", "": "", "x.so.580.95.05.bak": ""} {
		if got := LibraryVersion(file); got != want {
			t.Errorf("%q: %q", file, got)
		}
	}
}

func TestAParameterOfTheDriver(t *testing.T) {
	const text = "ResmanDebugLevel: 4294967295\nRegistryDwords: \"\"\nNvLinkDisable: 1\n"
	if value, ok := Param(text, "NvLinkDisable"); value != "1" || !ok {
		t.Errorf("%q, %v", value, ok)
	}
	if value, ok := Param(text, "LinkDisable"); ok {
		t.Errorf("a part of a name: %q", value)
	}
}

func TestMessagesOfTheKernel(t *testing.T) {
	if !KeyRejected("modprobe: ERROR: could not insert 'nvidia': Key was rejected by service\n") || KeyRejected("modprobe: ERROR: could not insert 'nvidia': No such device") {
		t.Error("Secure Boot")
	}
	line, found := FirmwareFailure("[1] x\n[ 9.1] NVRM: kgspBootstrap_GH100: unexpected WPR2 already up, cannot proceed with booting GSP\n")
	if !found || !strings.HasPrefix(line, "[ 9.1]") {
		t.Errorf("GSP: %q", line)
	}
}

// FuzzDriver gives anything to all parsers. What they return must be of the known form.
func FuzzDriver(f *testing.F) {
	f.Add("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build")
	f.Add("GPU 0: Tesla T4 (UUID: GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689)")
	f.Add("Model: T4\nGPU UUID: GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689\nBus Location: 0000:01:00.0\n")
	f.Add("libnvidia-ml.so.580.95.05")
	f.Fuzz(func(t *testing.T, text string) {
		if d, ok := ParseVersion(text); ok && version.FindString(d.Version) != d.Version {
			t.Errorf("version %q", d.Version)
		}
		list := append(ParseList(text), ParseInformation(text))
		if len(list) > maxGPUs+1 {
			t.Errorf("%d GPUs", len(list))
		}
		for _, g := range list {
			if g.UUID != "" && !guest.IsGPUUUID(g.UUID) {
				t.Errorf("UUID %q", g.UUID)
			}
		}
		if v := LibraryVersion(text); v != "" && !strings.HasSuffix(text, v) {
			t.Errorf("library version %q", v)
		}
		Param(text, "NvLinkDisable")
		if line, found := FirmwareFailure(text); found && !strings.Contains(text, line) {
			t.Errorf("line %q", line)
		}
	})
}
