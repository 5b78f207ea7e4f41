package look

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/internal/guest/nvidia"
	"github.com/gpuworker/gpuworker/internal/guest/run"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Modules are the kernel modules that matter here.
type Modules struct {
	File   Text           // /proc/modules
	Loaded map[string]int // name to number of users
	// Kernels are the installed kernels that have a module nvidia.
	Kernels []string
	Err     error // the kernels could not be listed
}

// Has reports whether a module is loaded.
func (m Modules) Has(name string) bool {
	_, loaded := m.Loaded[name]
	return loaded
}

// For reports whether a kernel has a module nvidia.
func (m Modules) For(kernel string) bool { return slices.Contains(m.Kernels, kernel) }

// maxKernels limits the number of installed kernels that are looked at.
const maxKernels = 32

func readModules(tree hosttree.Reader) Modules {
	m := Modules{File: read(tree, "proc/modules"), Loaded: map[string]int{}}
	for line := range strings.Lines(m.File.Body) {
		if fields := strings.Fields(line); len(fields) >= 3 { // proc(5): name, size, users
			users, _ := strconv.Atoi(fields[2]) // "-" without module unloading
			m.Loaded[fields[0]] = users
		}
	}
	kernels, err := tree.ReadDir("lib/modules")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.Err = err
	}
	for _, kernel := range kernels[:min(len(kernels), maxKernels)] {
		if hasNVIDIA(read(tree, path.Join("lib/modules", kernel, "modules.dep")).Body) {
			m.Kernels = append(m.Kernels, kernel)
		}
	}
	return m
}

// hasNVIDIA reports whether modules.dep (modules.dep(5)) lists a module nvidia. Each line
// begins with the path of a module, which may be compressed: "…/nvidia.ko.zst: …".
func hasNVIDIA(deps string) bool {
	for line := range strings.Lines(deps) {
		file, _, _ := strings.Cut(line, ":")
		name, _, _ := strings.Cut(path.Base(file), ".ko")
		if name == "nvidia" {
			return true
		}
	}
	return false
}

// readDriver reads what the loaded driver shows, and asks nvidia-smi if one is loaded.
// Without a driver nvidia-smi would try to load one.
func (g *Guest) readDriver(ctx context.Context, tree hosttree.Reader, runner run.Runner) {
	g.Modules = readModules(tree)
	g.Version, g.Params = read(tree, nvidia.VersionFile), read(tree, nvidia.ParamsFile)
	if loaded, ok := nvidia.ParseVersion(g.Version.Body); ok {
		g.Driver = &loaded
		g.SMI = runner.Run(ctx, SMI)
		g.Listed = nvidia.ParseList(g.SMI.Output)
	}
	g.Library = readLibrary(tree)
	names, err := tree.ReadDir("dev")
	g.DevErr, g.Devices = err, map[string]bool{}
	for _, name := range names {
		if strings.HasPrefix(name, "nvidia") {
			g.Devices[name] = true
		}
	}
}

// libraryDirs are the directories in which distributions install NVIDIA's libraries.
var libraryDirs = []string{"usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "usr/lib/x86_64-linux-gnu/nvidia/current", "usr/lib/aarch64-linux-gnu/nvidia/current"}

// readLibrary returns the version of the installed library: the target of the link
// libnvidia-ml.so.1 is libnvidia-ml.so.VERSION.
func readLibrary(tree hosttree.Reader) string {
	for _, dir := range libraryDirs {
		target, err := tree.Readlink(path.Join(dir, "libnvidia-ml.so.1"))
		if version := nvidia.LibraryVersion(path.Base(target)); err == nil && version != "" {
			return version
		}
	}
	return ""
}

// readInformation reads what the driver says about its GPUs.
func readInformation(tree hosttree.Reader) map[pci.BDF]nvidia.GPU {
	all := map[pci.BDF]nvidia.GPU{}
	names, _ := tree.ReadDir(nvidia.GPUsDir) // missing without a driver
	for _, name := range names {
		bdf, err := pci.ParseBDF(name)
		if err != nil {
			continue
		}
		all[bdf] = nvidia.ParseInformation(read(tree, path.Join(nvidia.GPUsDir, name, "information")).Body)
	}
	return all
}

// toolkitDirs are where packages and the GPU Operator install the container runtime.
var toolkitDirs = []string{"usr/bin", "usr/local/nvidia/toolkit"}

func readToolkit(tree hosttree.Reader) Presence {
	result := Missing
	for _, dir := range toolkitDirs {
		there, err := exists(tree, dir, "nvidia-container-runtime")
		switch {
		case there:
			return There
		case err != nil:
			result = Unknown
		}
	}
	return result
}
