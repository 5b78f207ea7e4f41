package pci

import (
	"strings"
	"testing"
)

func TestThePlaceOfACardHasOneText(t *testing.T) {
	for _, text := range []string{"pve1/0000:03:00.0", "pve1/03:00.0", "pve1/0000:03:00", " pve1/0000:03:00.1"} {
		ref, err := ParseCardRef(text)
		if err != nil || ref.String() != "pve1/0000:03:00.0" {
			t.Errorf("ParseCardRef(%q) = %q, %v", text, ref, err)
		}
	}
	for text, want := range map[string]string{
		"0000:03:00.0": "host/address", "/0000:03:00.0": "host/address", "pve1/": "not a PCI address", "pve1/x": "not a PCI address", "": "host/address",
	} {
		if _, err := ParseCardRef(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseCardRef(%q): %v, want it to say %q", text, err, want)
		}
	}
}

func FuzzCardRef(f *testing.F) {
	f.Add("pve1/0000:03:00.0")
	f.Add("a/b/03:00.0")
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := ParseCardRef(text)
		if err != nil {
			return
		}
		if again, err := ParseCardRef(ref.String()); err != nil || again != ref {
			t.Errorf("%q was read as %q, which is read as %q, %v", text, ref, again, err)
		}
	})
}
