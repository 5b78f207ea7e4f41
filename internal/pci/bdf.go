package pci

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// BDF is the address of one PCI function. The zero value is no address; IsZero
// distinguishes it from 0000:00:00.0, which is a host bridge on every host.
type BDF struct {
	Slot     Slot
	Function uint8 // 0-7
	set      bool
}

// Slot is the address of a card: a BDF without its function. All functions of a slot are
// one piece of hardware.
type Slot struct {
	Domain uint32 // usually 0; VMD and some multi-root hosts use more than 16 bits
	Bus    uint8
	Device uint8 // 0-31
}

var (
	bdfForm  = regexp.MustCompile(`^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-9a-f])$`)
	slotForm = regexp.MustCompile(`^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})$`)
	// looseForm may lack leading zeros, the domain and the function.
	looseForm = regexp.MustCompile(`^(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})(?:\.([0-9a-f]))?$`)
)

// ParseBDF reads "0000:03:00.0", or "03:00.0" in domain 0, in any case. The error says
// what is wrong and shows a correct address.
func ParseBDF(text string) (BDF, error) {
	low := strings.ToLower(strings.TrimSpace(text))
	match := bdfForm.FindStringSubmatch(low)
	if match == nil {
		if slotForm.MatchString(low) {
			full := low
			if strings.Count(low, ":") == 1 {
				full = "0000:" + low
			}
			return BDF{}, fmt.Errorf("%q has no function; write %q", text, full+".0")
		}
		return BDF{}, fmt.Errorf("%q is not a PCI address; write it as domain:bus:device.function, for example %q", text, "0000:03:00.0")
	}
	return newBDF(text, match)
}

// NormalizeBDF reads an address as ParseBDF does, but leading zeros may be left out, as
// in "3:0.0", and the function too, which is then 0.
func NormalizeBDF(text string) (BDF, error) {
	match := looseForm.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if match == nil {
		return ParseBDF(text) // the error says what is wrong
	}
	return newBDF(text, match)
}

// newBDF makes the address of a match of bdfForm or looseForm.
func newBDF(text string, match []string) (BDF, error) {
	slot, err := newSlot(text, match[1], match[2], match[3])
	if err != nil {
		return BDF{}, err
	}
	function, _ := strconv.ParseUint(match[4], 16, 8) // 0 without a function
	if function > 7 {
		return BDF{}, fmt.Errorf("%q: function %x does not exist, functions are 0 to 7", text, function)
	}
	return BDF{Slot: slot, Function: uint8(function), set: true}, nil
}

// ParseSlot reads "0000:03:00" or "03:00".
func ParseSlot(text string) (Slot, error) {
	match := slotForm.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if match == nil {
		return Slot{}, fmt.Errorf("%q is not a PCI slot; write it as domain:bus:device, for example %q", text, "0000:03:00")
	}
	return newSlot(text, match[1], match[2], match[3])
}

func newSlot(text, domain, bus, device string) (Slot, error) {
	var slot Slot
	if domain != "" {
		n, _ := strconv.ParseUint(domain, 16, 32)
		slot.Domain = uint32(n)
	}
	n, _ := strconv.ParseUint(bus, 16, 8)
	slot.Bus = uint8(n)
	n, _ = strconv.ParseUint(device, 16, 8)
	if n > 31 {
		return Slot{}, fmt.Errorf("%q: device %x does not exist, devices are 00 to 1f", text, n)
	}
	slot.Device = uint8(n)
	return slot, nil
}

// MustBDF is ParseBDF for constants in tests and tables; it panics on bad text.
func MustBDF(text string) BDF {
	bdf, err := ParseBDF(text)
	if err != nil {
		panic(err)
	}
	return bdf
}

// At is the address of one function of the slot.
func (s Slot) At(function uint8) BDF { return BDF{Slot: s, Function: function, set: true} }

// String writes the slot as the kernel does: "0000:03:00".
func (s Slot) String() string { return string(s.write(make([]byte, 0, 16))) }

// write appends the slot to a text. It does not use package fmt, because plans write very
// many addresses.
func (s Slot) write(text []byte) []byte {
	text = appendHex(text, s.Domain, 4)
	text = appendHex(append(text, ':'), uint32(s.Bus), 2)
	return appendHex(append(text, ':'), uint32(s.Device), 2)
}

// appendHex appends a number with at least that many digits.
func appendHex(text []byte, n uint32, digits int) []byte {
	const hex = "0123456789abcdef"
	for n>>(4*digits) != 0 {
		digits++
	}
	for digits--; digits >= 0; digits-- {
		text = append(text, hex[n>>(4*digits)&0xf])
	}
	return text
}

// Compare orders slots by domain, bus and device.
func (s Slot) Compare(other Slot) int {
	return cmp.Or(cmp.Compare(s.Domain, other.Domain), cmp.Compare(s.Bus, other.Bus), cmp.Compare(s.Device, other.Device))
}

// IsZero reports whether no address was given.
func (b BDF) IsZero() bool { return !b.set }

// String writes the address as the kernel does, "0000:03:00.0"; "" when zero.
func (b BDF) String() string {
	if !b.set {
		return ""
	}
	return string(appendHex(append(b.Slot.write(make([]byte, 0, 16)), '.'), uint32(b.Function), 1))
}

// Equal reports whether both are the same address, or both are zero.
func (b BDF) Equal(other BDF) bool { return b == other }

// Compare orders addresses as lspci does.
func (b BDF) Compare(other BDF) int {
	return cmp.Or(b.Slot.Compare(other.Slot), cmp.Compare(b.Function, other.Function))
}

// MarshalText writes the address for JSON and YAML.
func (b BDF) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads the output of MarshalText; "" is the zero BDF.
func (b *BDF) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*b = BDF{}
		return nil
	}
	parsed, err := ParseBDF(string(text))
	if err != nil {
		return err
	}
	*b = parsed
	return nil
}

// MarshalText writes the slot for JSON and YAML.
func (s Slot) MarshalText() ([]byte, error) { return s.write(make([]byte, 0, 16)), nil }

// UnmarshalText reads the output of MarshalText.
func (s *Slot) UnmarshalText(text []byte) error {
	parsed, err := ParseSlot(string(text))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}
