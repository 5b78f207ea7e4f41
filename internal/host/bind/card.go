package bind

import (
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"

	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Card is the fingerprint of a card. It must be the same before the card is
// changed again, because addresses change when hardware is added or the firmware
// is updated.
type Card struct {
	Slot      pci.Slot   `json:"slot"`
	Place     string     `json:"physicalSlot,omitempty"` // name of the slot on the board, if the firmware names it
	Serial    string     `json:"serial,omitempty"`       // PCIe device serial number, if the card has one; readable by root only
	Functions []CardPart `json:"functions"`
}

// CardPart is the fingerprint of one function.
type CardPart struct {
	BDF       pci.BDF   `json:"bdf"`
	ID        pci.ID    `json:"id"`
	Subsystem pci.ID    `json:"subsystem"`
	Class     pci.Class `json:"class"`
	Path      string    `json:"path"` // the bridges above it, below /sys/devices
}

// Fingerprint reads the fingerprint of a card.
func Fingerprint(tree hosttree.Reader, card hostpci.Card) Card {
	c := Card{Slot: card.Slot, Place: physicalSlot(tree, card.Slot)}
	for _, f := range card.Functions {
		c.Functions = append(c.Functions, CardPart{BDF: f.BDF, ID: f.ID, Subsystem: f.SubsystemID, Class: f.Class, Path: f.Path})
	}
	if len(c.Functions) > 0 {
		config, _ := tree.ReadFile(path.Join("sys/bus/pci/devices", c.Functions[0].BDF.String(), "config"))
		c.Serial = serial(config)
	}
	return c
}

// Differs says what is different; "" when it is the same card in the same place.
// A serial number or slot name that is missing on one side is not compared.
func (c Card) Differs(now Card) string {
	if len(c.Functions) != len(now.Functions) {
		return fmt.Sprintf("it had %d functions and has %d", len(c.Functions), len(now.Functions))
	}
	for i, f := range c.Functions {
		if g := now.Functions[i]; f != g {
			return fmt.Sprintf("%s was %s %s (subsystem %s) at %s and is %s %s (subsystem %s) at %s",
				f.BDF, f.ID, f.Class.Noun(), f.Subsystem, f.Path, g.ID, g.Class.Noun(), g.Subsystem, g.Path)
		}
	}
	switch {
	case c.Serial != "" && now.Serial != "" && c.Serial != now.Serial:
		return fmt.Sprintf("its serial number was %s and is %s", c.Serial, now.Serial)
	case c.Place != "" && now.Place != "" && c.Place != now.Place:
		return fmt.Sprintf("it was in slot %s of the board and is in %s", c.Place, now.Place)
	}
	return ""
}

// physicalSlot returns the name of the slot on the board: the file
// sys/bus/pci/slots/NAME/address holds "0000:01:00".
func physicalSlot(tree hosttree.Reader, slot pci.Slot) string {
	names, _ := tree.ReadDir("sys/bus/pci/slots")
	for _, name := range names {
		data, _ := tree.ReadFile(path.Join("sys/bus/pci/slots", name, "address"))
		if strings.TrimSpace(string(data)) == slot.String() && isWord(name) {
			return name
		}
	}
	return ""
}

// serial finds the Device Serial Number capability (0x0003) among the extended
// ones, which begin at 256. Without root the config space is shorter: no serial.
// Source: PCI Express Base Specification, 7.9.3.
func serial(config []byte) string {
	const first, extended = 0x100, 0x0003
	at := first
	for range (4096 - first) / 8 { // the most that fit, so that a loop of pointers ends
		if at < first || at+12 > len(config) {
			return ""
		}
		header := binary.LittleEndian.Uint32(config[at:])
		if header&0xffff == extended {
			low, high := binary.LittleEndian.Uint32(config[at+4:]), binary.LittleEndian.Uint32(config[at+8:])
			return fmt.Sprintf("%08x%08x", high, low)
		}
		at = int(header >> 20)
	}
	return ""
}

// isWord reports whether a text can be one word of a line in a card's file.
func isWord(text string) bool {
	return text != "" && len(text) < 256 && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("-_.:/", r)
	})
}

// cardsDir holds the one file of each card that is bound at boot.
const cardsDir = "etc/gpuworker-host/cards"

func cardFile(slot pci.Slot) string { return path.Join(cardsDir, slot.String()+".card") }

// cardFormat is the first line of a card's file below the seal. The boot script
// checks it too.
const cardFormat = "gpuworker-host card 1"

// FormatCard writes a card's file: lines of words, so that a shell in the
// initramfs can read it.
func FormatCard(c Card) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nslot %s\n", cardFormat, c.Slot)
	if c.Place != "" {
		fmt.Fprintf(&b, "place %s\n", c.Place)
	}
	if c.Serial != "" {
		fmt.Fprintf(&b, "serial %s\n", c.Serial)
	}
	for _, f := range c.Functions {
		fmt.Fprintf(&b, "function %s 0x%04x 0x%04x 0x%04x 0x%04x %s %s\n",
			f.BDF, f.ID.Vendor, f.ID.Device, f.Subsystem.Vendor, f.Subsystem.Device, f.Class, f.Path)
	}
	b.WriteString("end\n")
	return seal(b.String())
}

// ParseCard reads a card's file.
func ParseCard(data []byte) (Card, error) {
	text, err := unseal(data)
	if err != nil {
		return Card{}, err
	}
	lines := strings.Split(text, "\n")
	if n := len(lines); n < 3 || lines[0] != cardFormat || lines[n-1] != "" || lines[n-2] != "end" {
		return Card{}, fmt.Errorf("it is not a file of format %q", cardFormat)
	}
	var c Card
	for number, line := range lines[1 : len(lines)-2] {
		if err := c.parseLine(strings.Split(line, " ")); err != nil {
			return Card{}, fmt.Errorf("line %d: %w", number+3, err)
		}
	}
	if len(c.Functions) == 0 || !slices.Equal(FormatCard(c), data) {
		return Card{}, fmt.Errorf("a line is missing, repeated or written differently than gpuworker-host writes it")
	}
	return c, nil
}

func (c *Card) parseLine(words []string) (err error) {
	switch {
	case len(words) == 2 && words[0] == "slot":
		c.Slot, err = pci.ParseSlot(words[1])
	case len(words) == 2 && words[0] == "place" && isWord(words[1]):
		c.Place = words[1]
	case len(words) == 2 && words[0] == "serial" && isWord(words[1]):
		c.Serial = words[1]
	case len(words) == 8 && words[0] == "function" && isWord(words[7]):
		var f CardPart
		if f, err = parsePart(words[1:]); err == nil {
			c.Functions = append(c.Functions, f)
		}
	default:
		err = fmt.Errorf("%q is not understood", strings.Join(words, " "))
	}
	return err
}

func parsePart(words []string) (f CardPart, err error) {
	if f.BDF, err = pci.ParseBDF(words[0]); err != nil {
		return f, err
	}
	if f.ID, err = pci.ParseID(words[1] + ":" + words[2]); err != nil {
		return f, err
	}
	if f.Subsystem, err = pci.ParseID(words[3] + ":" + words[4]); err != nil {
		return f, err
	}
	f.Class, err = pci.ParseClass(words[5])
	f.Path = words[6]
	return f, err
}
