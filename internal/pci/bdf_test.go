package pci

import (
	"strings"
	"testing"
)

func TestAddressesAreReadAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]string{
		"0000:03:00.0":     "0000:03:00.0",
		"03:00.0":          "0000:03:00.0",
		"0000:AF:1F.7":     "0000:af:1f.7",
		" 0000:03:00.1 ":   "0000:03:00.1",
		"10000:e1:00.0":    "10000:e1:00.0", // a VMD domain has five digits
		"deadbeef:00:00.0": "deadbeef:00:00.0",
	} {
		bdf, err := ParseBDF(text)
		if err != nil || bdf.String() != want {
			t.Errorf("ParseBDF(%q) = %q, %v, want %q", text, bdf, err, want)
		}
	}
}

func TestBadAddressesSayWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"03:00":          `write "0000:03:00.0"`,
		"0000:03:00":     `write "0000:03:00.0"`,
		"0000:AF:00":     `write "0000:af:00.0"`,
		"0000:03:00.8":   "functions are 0 to 7",
		"0000:03:20.0":   "devices are 00 to 1f",
		"":               "is not a PCI address",
		"10de:1eb8":      "is not a PCI address",
		"0000:3:0.0":     "is not a PCI address",
		"0000-03-00-0":   "is not a PCI address",
		"0000:03:00.0.0": "is not a PCI address",
	} {
		_, err := ParseBDF(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseBDF(%q): %v, want it to say %q", text, err, want)
		}
	}
}

func TestAddressesAreNormalized(t *testing.T) {
	for text, want := range map[string]string{
		"3:0.0":            "0000:03:00.0",
		"3:0":              "0000:03:00.0",
		"0:3:0.1":          "0000:03:00.1",
		"03:00.0":          "0000:03:00.0",
		"0000:03:00":       "0000:03:00.0",
		" 0000:AF:1F.7 ":   "0000:af:1f.7",
		"00000000:03:00.0": "0000:03:00.0", // as nvidia-smi prints it
		"10000:e1:00.0":    "10000:e1:00.0",
	} {
		bdf, err := NormalizeBDF(text)
		if err != nil || bdf.String() != want {
			t.Errorf("NormalizeBDF(%q) = %q, %v, want %q", text, bdf, err, want)
		}
	}
	for text, want := range map[string]string{
		"":               `"" is not a PCI address; write it as domain:bus:device.function, for example "0000:03:00.0"`,
		"10de:1eb8":      `"10de:1eb8" is not a PCI address; write it as domain:bus:device.function, for example "0000:03:00.0"`,
		"0000:03:00.0.0": `"0000:03:00.0.0" is not a PCI address; write it as domain:bus:device.function, for example "0000:03:00.0"`,
		"3:20":           `"3:20": device 20 does not exist, devices are 00 to 1f`,
		"3:0.8":          `"3:0.8": function 8 does not exist, functions are 0 to 7`,
	} {
		if _, err := NormalizeBDF(text); err == nil || err.Error() != want {
			t.Errorf("NormalizeBDF(%q): %v, want %s", text, err, want)
		}
	}
}

func TestIDsAreReadWithAndWithoutPrefix(t *testing.T) {
	for _, text := range []string{"10de:1eb8", "10DE:1EB8", "0x10de:0x1eb8"} {
		id, err := ParseID(text)
		if err != nil || id.String() != "10de:1eb8" {
			t.Errorf("ParseID(%q) = %v, %v", text, id, err)
		}
	}
	if _, err := ParseID("10de"); err == nil {
		t.Error("half an ID was taken")
	}
}

func TestACardIsAllFunctionsOfItsSlot(t *testing.T) {
	audio := Function{BDF: MustBDF("0000:41:00.1"), ID: MustID("10de:1aef"), Class: 0x040300}
	nic := Function{BDF: MustBDF("0000:42:00.0"), ID: MustID("8086:1521"), Class: 0x020000}
	gpu := Function{BDF: MustBDF("0000:41:00.0"), ID: MustID("10de:2204"), Class: 0x030000, Name: "GA102 [GeForce RTX 3090]"}
	devices := Devices([]Function{nic, audio, gpu})
	if len(devices) != 2 || len(devices[0].Functions) != 2 {
		t.Fatalf("got %+v, want the card with two functions and the network card", devices)
	}
	main, ok := devices[0].GPU()
	if !ok || main.ShortName() != "GeForce RTX 3090" {
		t.Errorf("GPU() = %v, %v", main, ok)
	}
	if _, ok := devices[1].GPU(); ok {
		t.Error("a network card is a GPU")
	}
}

func FuzzBDF(f *testing.F) {
	for _, seed := range []string{"0000:03:00.0", "03:00.0", "AF:1F.7", "ffffffff:ff:1f.7", "0000:03:00", "x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		bdf, err := ParseBDF(text)
		if err != nil {
			if !bdf.IsZero() {
				t.Fatalf("an error and an address: %v", bdf)
			}
			return
		}
		again, err := ParseBDF(bdf.String())
		if err != nil || again != bdf {
			t.Fatalf("%q reads as %v, which reads as %v, %v", text, bdf, again, err)
		}
		if same, err := NormalizeBDF(text); err != nil || same != bdf {
			t.Fatalf("%q reads as %v, and is normalized to %v, %v", text, bdf, same, err)
		}
		slot, err := ParseSlot(bdf.Slot.String())
		if err != nil || slot != bdf.Slot {
			t.Fatalf("slot %v reads as %v, %v", bdf.Slot, slot, err)
		}
	})
}
