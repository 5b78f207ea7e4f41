package hostcheck

import (
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/hostpci"
	"github.com/gpuworker/gpuworker/internal/pci"
)

func TestOurRecordMustFitAsTheBootWantsItTo(t *testing.T) {
	function := &hostpci.Function{Path: "pci0000:00/0000:00:01.0/0000:01:00.0"}
	function.BDF, function.ID, function.SubsystemID, function.Class = pci.MustBDF("0000:01:00.0"), pci.MustID("10de:1eb8"), pci.MustID("10de:12a2"), 0x030200
	card := hostpci.Card{Slot: function.BDF.Slot, Functions: []*hostpci.Function{function}}
	const record = "gpuworker-host card 1\nslot 0000:01:00\nfunction 0000:01:00.0 0x10de 0x1eb8 0x10de 0x12a2 0x030200 pci0000:00/0000:00:01.0/0000:01:00.0\nend\n"
	for name, test := range map[string]struct{ record, says string }{
		"the card of the record":            {record, ""},
		"the same model behind other ports": {strings.Replace(record, "0000:00:01.0/", "0000:00:02.0/", 1), "it was 0000:01:00.0"},
		"a record that was cut off":         {strings.TrimSuffix(record, "end\n"), "it is not whole"},
	} {
		if got := (&facts{}).ruleDiffers(test.record, card); (got == "") != (test.says == "") || !strings.HasPrefix(got, test.says) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
