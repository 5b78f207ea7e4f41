// Package e2e tests the whole program from outside: scripts type commands, and
// look at what is printed, at exit codes, and at what became of a simulated
// Proxmox VE cluster. Each script in testdata/script has a cluster of its own.
package e2e
