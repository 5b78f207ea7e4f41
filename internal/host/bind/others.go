package bind

import "github.com/gpuworker/gpuworker/internal/pci"

// What others read who judge or capture a host.

// CardsDir holds a file for each card that is bound at boot, by its slot.
const CardsDir = cardsDir

// CardFile is the file of a card that is bound at boot.
func CardFile(slot pci.Slot) string { return cardFile(slot) }

// JournalFile is the journal of a card.
func JournalFile(slot pci.Slot) string { return journalFile(slot) }

// Ours tells a file that we wrote and nobody changed since: otherwise why not.
func Ours(data []byte) error {
	_, err := unseal(data)
	return err
}

// InImage reports whether the listing of an initramfs, by Mechanism.Lister, has a file.
func InImage(listing, file string) bool { return inImage(listing, file) }

// Listing is which files are in an initramfs, as Mechanism.Lister lists them.
type Listing struct {
	Text string
	Err  error // it could not be listed
}
