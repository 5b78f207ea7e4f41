//go:build !linux

package cli

// kernelLog is the log of the running kernel, which only Linux has.
func kernelLog() []byte { return nil }
