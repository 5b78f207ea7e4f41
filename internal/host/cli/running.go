package cli

import (
	"context"
	"strings"
	"time"

	hostbind "github.com/gpuworker/gpuworker/internal/host/bind"
)

// What the running host says that is in no file. Of another tree nobody is asked.

// kernelLog is the log of the running kernel; nil when it could not be read.
func (t *Tool) kernelLog() []byte {
	if t.root != "/" {
		return nil
	}
	return kernelLog()
}

// images lists the initramfs images that cards of ours must be in; nil when there
// are none of either. To unpack one takes about a second.
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

// listingTakes is the longest that listing one image may take.
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
