// Package pci is the vocabulary of PCI hardware: the address of a function
// (BDF), the make of a function (ID), what it is for (Class), and the cards
// (Device) that functions form. It knows no host and no hypervisor.
//
// Words, as lspci and the kernel use them:
//
//   - BDF: domain:bus:device.function, "0000:03:00.0", lower-case hexadecimal.
//   - Slot: a BDF without the function, "0000:03:00": one card.
//   - ID: vendor:device, "10de:1eb8".
//   - Class: the 24-bit class code; its upper 16 bits say what a function is.
package pci
