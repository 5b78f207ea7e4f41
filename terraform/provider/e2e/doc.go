// Package e2e runs the real terraform program with the provider as users install it, on the
// examples and the modules of this repository: init from a filesystem mirror, validate,
// plan, apply, change and destroy, each against its own simulated Proxmox VE cluster over
// TLS. The tests use no network but the loopback interface.
//
// They need the program terraform; without it they are skipped. To run them:
//
//	make e2e-terraform
package e2e
