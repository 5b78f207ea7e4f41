package cli

import (
	"context"
	"strings"
	"time"

	hostbind "github.com/gpuworker/gpuworker/internal/host/bind"
	"github.com/gpuworker/gpuworker/internal/host/klog"
)

// Inputs that the running host gives and that are not files of the tree. They are
// read only for this machine, not for another tree.

// kernelLog is the log of the running kernel; nil when it could not be read.
func (t *Tool) kernelLog() []byte {
	if t.root != "/" {
		return nil
	}
	return klog.Read()
}

// images lists the files of the initramfs images that must contain the records of
// bound cards; nil when no card is bound at boot. Each takes about a second.
func (t *Tool) images() map[string]hostbind.Listing {
	var runner hostbind.Runner = hostbind.Commands{}
	if t.Host != nil {
		runner = t.Host.Runner
	}
	if t.Host == nil && t.root != "/" || !t.hasRecords() {
		return nil
	}
	mechanism := hostbind.FindMechanism(t.tree)
	listings := map[string]hostbind.Listing{}
	for _, image := range mechanism.Images {
		ctx, cancel := context.WithTimeout(context.Background(), listingTakes)
		text, err := runner.Ask(ctx, mechanism.Lister, image)
		cancel()
		listings[image] = hostbind.Listing{Text: text, Err: err}
	}
	return listings
}

// listingTakes is the deadline for listing one image.
const listingTakes = time.Minute

// hasRecords reports whether a card is bound at boot.
func (t *Tool) hasRecords() bool {
	names, _ := t.tree.ReadDir(hostbind.CardsDir)
	for _, name := range names {
		if strings.HasSuffix(name, ".card") {
			return true
		}
	}
	return false
}
