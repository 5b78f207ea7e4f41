// Package pci has the types of PCI hardware: the address of a function (BDF), its vendor
// and model (ID), its purpose (Class), and the cards (Device) that functions form. It is
// independent of hosts and hypervisors.
//
// Terms, as lspci and the kernel use them:
//
//   - BDF: domain:bus:device.function, "0000:03:00.0", lower-case hexadecimal.
//   - Slot: a BDF without the function, "0000:03:00": one card.
//   - ID: vendor:device, "10de:1eb8".
//   - Class: the 24-bit class code; its upper 16 bits say what a function is.
package pci
