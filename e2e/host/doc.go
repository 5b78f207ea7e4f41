// Package host tests gpuworker-host where it works: in a real Linux kernel with
// a real IOMMU driver, booted in QEMU. Each machine is booted once; the tests
// speak with its /init (folder init, words in folder call) over a serial line, so
// a test reads like what an operator types, and can look at the kernel's own
// files to see whether the program told the truth.
//
// What bind leaves for the next boot is tried with the initramfs that a real
// initramfs-tools, and a real dracut, make of it in an installed Debian.
//
// "make e2e-host" runs it; it needs QEMU and a Debian kernel, which the script
// prepare fetches, and that Debian, which prepare-system makes. Plain "go test"
// skips it.
package host
