// Command gpuworker-host checks whether one Linux host is ready to pass its GPUs
// through to virtual machines, and if not, which layer prevents it. It has no
// network code, and changes nothing except with bind or unbind.
package main

import (
	"os"

	"golang.org/x/term"

	"github.com/gpuworker/gpuworker/internal/buildinfo"
	hostcli "github.com/gpuworker/gpuworker/internal/host/cli"
)

func main() {
	tool := &hostcli.Tool{Out: os.Stdout, Err: os.Stderr, Version: buildinfo.This()}
	if fd := int(os.Stdout.Fd()); term.IsTerminal(fd) {
		tool.Colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
		tool.Width, _, _ = term.GetSize(fd)
	}
	os.Exit(tool.Main(os.Args[1:]))
}
