// Package cli is the command line of gpuworker-host: one file for each
// command, flags in, one call, text or JSON out. It uses the flag package and no
// network code, so that the binary stays small and can be trusted with root.
package cli
