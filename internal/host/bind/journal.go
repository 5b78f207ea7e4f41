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

// Goal is the state that a card is to be brought to.
type Goal string

// A card is bound to vfio-pci, or free, that is, on its previous drivers.
const (
	Bound Goal = "bound"
	Free  Goal = "free"
)

// Verb returns the verb that reaches the goal.
func (g Goal) Verb() string {
	if g == Bound {
		return BindVerb
	}
	return UnbindVerb
}

// Journal records the previous drivers of a card and the goal of its last run. It
// exists from before the first write until the card is free again.
type Journal struct {
	Format string `json:"format"`
	Sum    string `json:"sum"` // of the journal with this left empty
	Card   Card   `json:"card"`
	Goal   Goal   `json:"goal"`
	// Settled reports whether the goal was reached. Otherwise a run is in progress or
	// was interrupted.
	Settled bool `json:"settled"`
	// Persist reports whether the card is to be bound at each boot too.
	Persist bool `json:"persist"`
	// AtBoot reports whether the card is to be bound at the next boot and not before.
	AtBoot bool `json:"atBoot,omitempty"`
	// Before holds the previous driver of each function.
	Before []Before `json:"before"`
	// Rebuild reports whether files of the initramfs changed and it was not yet
	// rebuilt.
	Rebuild bool `json:"rebuild,omitempty"`
	// Doing is the last step that was started.
	Doing string `json:"doing,omitempty"`
	// Wrong is the last error.
	Wrong string `json:"wrong,omitempty"`
	// Stuck is a write that never returned.
	Stuck *Stuck    `json:"stuck,omitempty"`
	Since time.Time `json:"since"` // time of the first run
}

// Before is the driver and override of a function before the first run.
type Before struct {
	BDF      pci.BDF `json:"bdf"`
	Driver   string  `json:"driver"`           // "" for none
	Module   string  `json:"module,omitempty"` // contains the driver
	Override string  `json:"override"`
	// Lost reports whether the driver is no longer on this host, so that the kernel
	// may choose another.
	Lost bool `json:"lost,omitempty"`
	// Offered reports whether the kernel was asked to choose a driver.
	Offered bool `json:"offered,omitempty"`
}

// Stuck is a write that never returned. Until the host is rebooted, the kernel
// holds a lock on the device, and every process that touches it hangs too.
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

// ParseJournal reads a journal. It accepts only what FormatJournal writes, byte for
// byte.
func ParseJournal(data []byte) (*Journal, error) {
	j := &Journal{}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(j); err != nil {
		return nil, fmt.Errorf("it is not a journal: %w", err)
	}
	if j.Format != journalFormat {
		return nil, fmt.Errorf("it is of format %q; this program writes %q", j.Format, journalFormat)
	}
	if !bytes.Equal(FormatJournal(j), data) {
		return nil, errors.New("its checksum is wrong: it was changed or damaged")
	}
	if (j.Goal != Bound && j.Goal != Free) || len(j.Before) == 0 && j.Goal == Bound || len(j.Before) != len(j.Card.Functions) {
		return nil, errors.New("its goal or its list of drivers is incomplete")
	}
	for i, b := range j.Before {
		f := j.Card.Functions[i]
		if f.BDF != b.BDF || b.BDF.Slot != j.Card.Slot || !isDriver(b.Driver) || !isDriver(b.Module) || !isDriver(b.Override) {
			return nil, errors.New("its functions are not those of one card")
		}
	}
	return j, nil
}

// isDriver reports whether a name can be that of a driver or module; "" means none.
func isDriver(name string) bool {
	return name == "" || isWord(name) && !strings.ContainsAny(name, "/") && name[0] != '.' && name[0] != '-'
}

// JournalError says that a journal cannot be read. The state of the card is then
// not known, and the card is not changed.
type JournalError struct {
	File string
	Err  error
}

func (e *JournalError) Error() string {
	return fmt.Sprintf("the journal /%s is not valid: %v. Earlier changes to the card are not known, so nothing is done now. "+
		"Check the drivers with gpuworker-host list; when they are as you want them, move the file away and run the command again", e.File, e.Err)
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

// ReadJournals reads all journals. The errors are of those that cannot be read.
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

// StuckNow reports whether the card is stuck in the boot with this identifier. An
// unknown boot counts as the same one.
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
