package pci

import (
	"cmp"
	"fmt"
	"strings"
)

// CardRef is the place of a card: host and slot. Every command prints it as
// "pve1/0000:03:00.0", and every document accepts this text.
type CardRef struct {
	Host string // "" when not known
	Slot Slot
}

// ParseCardRef reads "pve1/0000:03:00.0". The function may be any one of the card, or
// left out.
func ParseCardRef(text string) (CardRef, error) {
	host, address, found := strings.Cut(strings.TrimSpace(text), "/")
	if !found || host == "" {
		return CardRef{}, fmt.Errorf("%q is not the place of a card; write it as host/address, for example %q", text, "pve1/0000:03:00.0")
	}
	slot, err := ParseCardSlot(address)
	if err != nil {
		return CardRef{}, err
	}
	return CardRef{Host: host, Slot: slot}, nil
}

// ParseCardSlot reads the address of a card, with or without a function.
func ParseCardSlot(text string) (Slot, error) {
	if slot, err := ParseSlot(text); err == nil {
		return slot, nil
	}
	bdf, err := ParseBDF(text)
	return bdf.Slot, err
}

// IsZero reports whether no card is named.
func (r CardRef) IsZero() bool { return r == CardRef{} }

// String returns the text of the place, "" when no card is named.
func (r CardRef) String() string {
	switch {
	case r.IsZero():
		return ""
	case r.Host == "":
		return r.BDF().String()
	}
	return r.Host + "/" + r.BDF().String()
}

// BDF returns the address of the card's first function; the zero BDF when no card is
// named.
func (r CardRef) BDF() BDF {
	if r.IsZero() {
		return BDF{}
	}
	return r.Slot.At(0)
}

// Compare orders places by host, then by slot in the order of lspci.
func (r CardRef) Compare(other CardRef) int {
	return cmp.Or(cmp.Compare(r.Host, other.Host), r.Slot.Compare(other.Slot))
}

// MarshalText writes the place for JSON and YAML.
func (r CardRef) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the output of MarshalText; "" names no card.
func (r *CardRef) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*r = CardRef{}
		return nil
	}
	if !strings.Contains(string(text), "/") { // the host is not known
		slot, err := ParseCardSlot(string(text))
		*r = CardRef{Slot: slot}
		return err
	}
	parsed, err := ParseCardRef(string(text))
	*r = parsed
	return err
}

// MustCardRef is ParseCardRef for constants in tests; it panics on bad text.
func MustCardRef(text string) CardRef {
	ref, err := ParseCardRef(text)
	if err != nil {
		panic(err)
	}
	return ref
}
