package inventory_test

import (
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

func TestTheTwoSeedsOfAVMHaveTwoNames(t *testing.T) {
	const uuid = "3c9e2f0e-1111-4222-8333-444455556666"
	if inventory.SeedName(uuid, false) == inventory.SeedName(uuid, true) {
		t.Error("the clean seed would overwrite the one in use")
	}
	for _, clean := range []bool{false, true} {
		if got, isClean, ok := inventory.ParseSeedName(inventory.SeedName(uuid, clean)); got != uuid || isClean != clean || !ok {
			t.Errorf("read back: %q %t %t", got, isClean, ok)
		}
	}
	for _, name := range []string{"", "debian-12.iso", "gpuworker-.iso", "gpuworker-" + uuid + ".img", "gpuworker-" + strings.ToUpper(uuid) + ".iso", "gpuworker-" + uuid + "-clean.iso.iso", "x" + inventory.SeedName(uuid, false)} {
		if _, _, ok := inventory.ParseSeedName(name); ok {
			t.Errorf("%q is said to be ours", name)
		}
	}
}
