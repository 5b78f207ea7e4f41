// Command gpuworker-guest makes the VM in which it runs a worker, as its orders say, and
// checks its GPU and driver. It has no network code: package managers of the guest
// download what is needed.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/gpuworker/gpuworker/internal/buildinfo"
	guestcli "github.com/gpuworker/gpuworker/internal/guest/cli"
)

func main() {
	tool := &guestcli.Tool{Out: os.Stdout, Err: os.Stderr, Version: buildinfo.This()}
	if fd := int(os.Stdout.Fd()); term.IsTerminal(fd) {
		tool.Colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
		tool.Width, _, _ = term.GetSize(fd)
	}
	os.Exit(run(tool, os.Args[1:]))
}

// run ends after the current command of a package manager when the program is told to.
func run(tool *guestcli.Tool, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return tool.Main(ctx, args)
}
