// Package e2e tests the whole program from outside. Scripts run commands, and check
// the output, the exit codes and the state of a simulated Proxmox VE cluster. Each
// script in testdata/script has its own cluster.
package e2e
