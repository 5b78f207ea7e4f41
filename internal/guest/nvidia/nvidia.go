// Package nvidia reads what NVIDIA's driver and nvidia-smi write. It is pure. All input is
// untrusted: a parser takes what has the known form and ignores the rest.
package nvidia

import (
	"regexp"
	"strings"

	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// maxGPUs limits the number of GPUs that are read. A host has at most 16.
const maxGPUs = 64

// Files of the driver, relative to the root. They exist while the module is loaded.
const (
	VersionFile = "proc/driver/nvidia/version"
	ParamsFile  = "proc/driver/nvidia/params"
	GPUsDir     = "proc/driver/nvidia/gpus" // ADDRESS/information
)

// version is a driver version in a text: "580.95.05".
var version = regexp.MustCompile(`\b[0-9]{3,4}(\.[0-9]{1,4}){1,3}\b`)

// ParseVersion reads /proc/driver/nvidia/version. Its first line is one of
//
//	NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 10:11:16 UTC 2025
//	NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (…)
//
// ok is false when it has another form.
func ParseVersion(text string) (driver guest.Driver, ok bool) {
	line, _, _ := strings.Cut(text, "\n")
	about, found := strings.CutPrefix(line, "NVRM version:")
	before, after, isModule := strings.Cut(about, "Kernel Module")
	number := version.FindString(after)
	if !found || !isModule || number == "" {
		return guest.Driver{}, false
	}
	return guest.Driver{Version: number, Open: strings.HasSuffix(strings.TrimSpace(before), " Open")}, true
}

// LibraryVersion returns the version in the name of a library file, such as
// libnvidia-ml.so.580.95.05; "" when it has none.
func LibraryVersion(file string) string {
	_, number, _ := strings.Cut(file, ".so.")
	if version.FindString(number) != number {
		return ""
	}
	return number
}

// GPU is one GPU of a list. Fields that are not known are empty.
type GPU struct {
	BDF   pci.BDF
	Model string
	UUID  string
}

// listed is a line of nvidia-smi -L: "GPU 0: Tesla T4 (UUID: GPU-…)".
var listed = regexp.MustCompile(`^GPU [0-9]+: (.{1,128}) \(UUID: (GPU-[0-9a-f-]{36})\)$`)

// ParseList reads the output of nvidia-smi -L. Lines of MIG devices, and messages, are
// ignored.
func ParseList(text string) []GPU {
	var gpus []GPU
	for line := range strings.Lines(text) {
		match := listed.FindStringSubmatch(strings.TrimSpace(line))
		if match == nil || !guest.IsGPUUUID(match[2]) || len(gpus) == maxGPUs {
			continue
		}
		gpus = append(gpus, GPU{Model: match[1], UUID: match[2]})
	}
	return gpus
}

// ParseInformation reads /proc/driver/nvidia/gpus/ADDRESS/information, lines of "name:
// value". Before the GPU was started, the UUID has question marks; it is then "".
func ParseInformation(text string) GPU {
	var g GPU
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "Model":
			g.Model = value
		case "GPU UUID":
			if guest.IsGPUUUID(value) {
				g.UUID = value
			}
		case "Bus Location":
			if bdf, err := pci.ParseBDF(value); err == nil {
				g.BDF = bdf
			}
		}
	}
	return g
}

// Param returns a parameter of /proc/driver/nvidia/params, lines of "name: value"; ok is
// false when it is not there.
func Param(text, name string) (value string, ok bool) {
	for line := range strings.Lines(text) {
		key, value, isParam := strings.Cut(line, ":")
		if isParam && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// Mismatch reports whether nvidia-smi complains that the libraries and the kernel module
// have different versions.
func Mismatch(text string) bool { return strings.Contains(text, "Driver/library version mismatch") }

// KeyRejected reports whether a message of modprobe or of the kernel says that Secure
// Boot does not accept a module (kernel, kernel/module/signing.c).
func KeyRejected(text string) bool {
	for _, message := range []string{
		"Key was rejected by service",                  // EKEYREJECTED, of modprobe
		"Loading of unsigned module is rejected",       // of the kernel
		"Loading of module with unavailable key is re", // "…jected"
		"Required key not available",                   // ENOKEY, of modprobe
		"Lockdown: modprobe: unsigned module loading is restricted",
	} {
		if strings.Contains(text, message) {
			return true
		}
	}
	return false
}

// firmwareFailures are messages of the driver in the kernel's log when it could not start
// the GPU or its own processor (NVIDIA/open-gpu-kernel-modules issue 1230).
var firmwareFailures = []string{"unexpected WPR2 already up", "cannot proceed with booting GSP", "RmInitAdapter failed", "GSP RM boot failed"}

// FirmwareFailure finds the first line of the kernel's log that says so.
func FirmwareFailure(log string) (line string, found bool) {
	for line := range strings.Lines(log) {
		for _, message := range firmwareFailures {
			if strings.Contains(line, message) {
				return strings.TrimSpace(line), true
			}
		}
	}
	return "", false
}
