// Package host tests gpuworker-host where it works: in a real Linux kernel with
// a real IOMMU driver, booted in QEMU. Each machine is booted once; the tests
// speak with its /init (folder init, words in folder call) over a serial line, so
// a test reads like what an operator types, and can look at the kernel's own
// files to see whether the program told the truth.
//
// "make e2e-host" runs it; it needs QEMU and a Debian kernel, which the script
// prepare fetches. Plain "go test" skips it.
package host
