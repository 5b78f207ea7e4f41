package bind

import "github.com/gpuworker/gpuworker/internal/pci"

// For the packages that check or capture a host.

// CardsDir holds one file for each card that is bound at boot, named by its slot.
const CardsDir = cardsDir

// CardFile is the path of the file of a card that is bound at boot.
func CardFile(slot pci.Slot) string { return cardFile(slot) }

// JournalFile is the path of the journal of a card.
func JournalFile(slot pci.Slot) string { return journalFile(slot) }

// VerifySeal returns an error unless gpuworker-host wrote the file and it is
// unchanged since.
func VerifySeal(data []byte) error {
	_, err := unseal(data)
	return err
}

// InImage reports whether a file is in the listing of an initramfs by Mechanism.Lister.
func InImage(listing, file string) bool { return inImage(listing, file) }

// Listing is the list of files in an initramfs, as printed by Mechanism.Lister.
type Listing struct {
	Text string
	Err  error // it could not be listed
}
