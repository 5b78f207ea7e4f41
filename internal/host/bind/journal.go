package bind

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Goal is what a card is meant to be.
type Goal string

// A card is bound to vfio-pci, or free: with the drivers that it had before.
const (
	Bound Goal = "bound"
	Free  Goal = "free"
)

// Journal is what is known of a card that was ever bound: what was there before,
// and where it is going. It exists from before the first write until the card is
// free again.
type Journal struct {
	Format string `json:"format"`
	Sum    string `json:"sum"` // of the journal with this left empty
	Card   Card   `json:"card"`
	Goal   Goal   `json:"goal"`
	// Settled reports whether the goal was reached. Otherwise a run is at work on it,
	// or was cut off.
	Settled bool `json:"settled"`
	// Persist: the card is to be bound at boot too.
	Persist bool `json:"persist"`
	// AtBoot: it is to be bound at the next boot and not before.
	AtBoot bool `json:"atBoot,omitempty"`
	// Before is what each function had before we came.
	Before []Before `json:"before"`
	// Rebuild: files that belong into the initramfs changed and it was not yet
	// made anew.
	Rebuild bool `json:"rebuild,omitempty"`
	// Doing is the step that was begun last.
	Doing string `json:"doing,omitempty"`
	// Wrong is what went wrong last.
	Wrong string `json:"wrong,omitempty"`
	// Stuck is a write that never returned.
	Stuck *Stuck    `json:"stuck,omitempty"`
	Since time.Time `json:"since"` // when the card set out for the goal
}

// Before is what a function had before.
type Before struct {
	BDF      pci.BDF `json:"bdf"`
	Driver   string  `json:"driver"`           // "" for none
	Module   string  `json:"module,omitempty"` // that the driver is in
	Override string  `json:"override"`
	// Lost: the driver is on this host no longer; the kernel may choose.
	Lost bool `json:"lost,omitempty"`
	// Offered: the kernel was asked to choose.
	Offered bool `json:"offered,omitempty"`
}

// Stuck is a write that never returned. Until the host is rebooted its device is
// locked in the kernel, and whoever touches it is locked too.
type Stuck struct {
	Step   string `json:"step"`
	BootID string `json:"bootId"` // of the boot in which it happened
}

const (
	journalDir    = "var/lib/gpuworker-host/journal"
	lockFile      = "var/lib/gpuworker-host/lock"
	journalFormat = "gpuworker-host journal 1"
)

func journalFile(slot pci.Slot) string { return path.Join(journalDir, slot.String()+".json") }

// FormatJournal writes a journal.
func FormatJournal(j *Journal) []byte {
	c := *j
	c.Format, c.Sum = journalFormat, ""
	sum := sha256.Sum256(journalText(&c))
	c.Sum = hex.EncodeToString(sum[:])
	return journalText(&c)
}

func journalText(j *Journal) []byte {
	data, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		panic(err) // plain data
	}
	return append(data, '\n')
}

// ParseJournal reads a journal, and takes nothing that is not exactly as it was
// written.
func ParseJournal(data []byte) (*Journal, error) {
	j := &Journal{}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(j); err != nil {
		return nil, fmt.Errorf("it is no journal: %w", err)
	}
	if j.Format != journalFormat {
		return nil, fmt.Errorf("it is of format %q; this program writes %q", j.Format, journalFormat)
	}
	if !bytes.Equal(FormatJournal(j), data) {
		return nil, errors.New("its checksum is wrong: it was changed or damaged")
	}
	if (j.Goal != Bound && j.Goal != Free) || len(j.Before) == 0 && j.Goal == Bound || len(j.Before) != len(j.Card.Functions) {
		return nil, errors.New("it does not say what a journal says")
	}
	for i, b := range j.Before {
		f := j.Card.Functions[i]
		if f.BDF != b.BDF || b.BDF.Slot != j.Card.Slot || !isDriver(b.Driver) || !isDriver(b.Module) || !isDriver(b.Override) {
			return nil, errors.New("its functions are not those of one card")
		}
	}
	return j, nil
}

// isDriver tells what may be the name of a driver or module; "" is none.
func isDriver(name string) bool {
	return name == "" || isWord(name) && !strings.ContainsAny(name, "/") && name[0] != '.' && name[0] != '-'
}

// JournalError is a journal that cannot be read: what happened to the card is not
// known, and nothing is done to it.
type JournalError struct {
	File string
	Err  error
}

func (e *JournalError) Error() string {
	return fmt.Sprintf("the journal /%s cannot be trusted: %v. What was done to the card is not known, so nothing is done now. "+
		"Look at the drivers with gpuworker-host list; when they are as you want them, move the file away and say it again", e.File, e.Err)
}

func (e *JournalError) Unwrap() error { return e.Err }

// ReadJournal reads the journal of a card; nil when there is none.
func ReadJournal(tree hosttree.Reader, slot pci.Slot) (*Journal, error) {
	data, err := tree.ReadFile(journalFile(slot))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var j *Journal
	if err == nil {
		j, err = ParseJournal(data)
	}
	if err == nil && j.Card.Slot != slot {
		err = fmt.Errorf("it is of the card at %s", j.Card.Slot.At(0))
	}
	if err != nil {
		return nil, &JournalError{journalFile(slot), err}
	}
	return j, nil
}

// ReadJournals reads all journals, and says which cannot be read.
func ReadJournals(tree hosttree.Reader) (journals []*Journal, odd []error) {
	names, err := tree.ReadDir(journalDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, []error{&JournalError{journalDir, err}}
	}
	for _, name := range names {
		text, isJournal := strings.CutSuffix(name, ".json")
		slot, err := pci.ParseSlot(text)
		if !isJournal || err != nil {
			continue
		}
		j, err := ReadJournal(tree, slot)
		switch {
		case err != nil:
			odd = append(odd, err)
		case j != nil:
			journals = append(journals, j)
		}
	}
	return journals, odd
}

// StuckNow reports whether the card is stuck in the boot with this identifier. One
// that is not known counts as the same boot.
func (j *Journal) StuckNow(bootID string) bool {
	return j.Stuck != nil && (bootID == "" || j.Stuck.BootID == "" || j.Stuck.BootID == bootID)
}

// BootID identifies the running boot; "" when it cannot be read.
func BootID(tree hosttree.Reader) string {
	data, err := tree.ReadFile("proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
