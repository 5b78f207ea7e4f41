// Package host tests gpuworker-host on a real Linux kernel with a real IOMMU driver,
// booted in QEMU. Each machine is booted once. The tests send requests to its /init
// (folder init, protocol in folder call) over a serial line: they run commands like an
// operator, and read the kernel's own files to verify the output.
//
// Binding at boot is tested with the initramfs that a real initramfs-tools, and a real
// dracut, build in an installed Debian.
//
// "make e2e-host" runs it. It needs QEMU and a Debian kernel, which the script prepare
// fetches, and a Debian system, which prepare-system installs. Plain "go test" skips
// it.
package host
