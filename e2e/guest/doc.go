// Package guest tests gpuworker-guest and the seed in a real guest: a Debian with
// cloud-init and the QEMU guest agent, booted in QEMU from the ISO image that package
// bootstrap makes. Its agent answers package pve through pvesim.
//
// Three things are stand-ins: the guest's os-release says Ubuntu, because only Ubuntu has
// packages with pre-built modules of NVIDIA's driver; these packages are our own, with a
// small kernel module that only shows what the real one shows (folder standin); and the
// card is a display device of QEMU with NVIDIA's vendor ID.
//
// "make e2e-guest" runs it. It needs what the script prepare makes. With -short only the
// flow from a snapshot runs. Plain "go test" skips all.
package guest
