package inventory

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// RecordVersion is the version of the records that this program writes. A record
// without a version has version 0. A new version is needed only when a program that
// does not know a new key would do harm. In every version, the mark "gpuworker:" and
// the keys worker, pool, cluster, vmid and uuid have the same meaning.
const RecordVersion = 1

// WorkerKey identifies a worker: records with the same key are about the same worker.
type WorkerKey struct {
	Worker      string `json:"worker"`
	Pool        string `json:"pool"`
	KubeCluster string `json:"kubeCluster,omitempty"` // "" when the worker joins none
}

// PoolWords names the worker's pool: "pool gpu, KubeCluster rke2".
func (k WorkerKey) PoolWords() string {
	if k.KubeCluster == "" {
		return "pool " + k.Pool
	}
	return "pool " + k.Pool + ", KubeCluster " + k.KubeCluster
}

// Record is what we write into the note of a VM and into the register of a card: for
// which worker it is and how to prove it. It has no secrets.
type Record struct {
	// Version is the version that was read; the one that is written is RecordVersion.
	Version int `json:"version,omitempty"`

	WorkerKey
	Lifecycle string `json:"lifecycle"`

	VM   string `json:"vm,omitempty"` // identifier; "" where the hypervisor chooses it
	UUID string `json:"uuid"`         // SMBIOS UUID that the VM has or will have

	Host string      `json:"host,omitempty"`
	Card pci.CardRef `json:"card,omitzero"` // zero for a plain worker

	Template string `json:"template,omitempty"` // what it was cloned from, "ubuntu-22.04"
	Clone    string `json:"clone,omitempty"`    // "Full" when it is a full copy of it, "" when linked or not known
	Labels   string `json:"labels,omitempty"`   // declared for the KubeNode, "a=b,c=d"
	Taints   string `json:"taints,omitempty"`   // likewise, "key=value:Effect"

	// Created is when we made the VM, in RFC 3339 and UTC; "" when it was adopted, or
	// made by a program that did not record it.
	Created string `json:"created,omitempty"`
	// Replacing is the UUID of the VM that this one replaces, while the replace is
	// unfinished; Replaced the same when it is finished. UnknownVM when the old VM was
	// already gone and its UUID is not known.
	Replacing string `json:"replacing,omitempty"`
	Replaced  string `json:"replaced,omitempty"`
	// Finished is when that replace was finished, in the form of Created.
	Finished string `json:"finished,omitempty"`

	// Seed is where cloud-init in the guest reads from: SeedISO for our own image, "" for
	// the cloud-init options of the hypervisor. It never changes: a guest that booted from
	// one must not get the other.
	Seed string `json:"seed,omitempty"`
	// Driver is the driver that the guest was told to have, "Packages,580,Open"; "" for a
	// guest without gpuworker-guest.
	Driver string `json:"driver,omitempty"`
	// Bootstrapped is when the guest was proven to be as ordered for the first time, in the
	// form of Created; "" before that.
	Bootstrapped string `json:"bootstrapped,omitempty"`
	// GPU is the identity of the card that was proven then, "GPU-…"; "" when the guest has
	// no driver, or no card.
	GPU string `json:"gpu,omitempty"`

	// By is the author, "user@machine".
	By string `json:"by,omitempty"`

	// Unknown are "key=value" words with keys that this program does not know. They
	// are written back as they were read.
	Unknown string `json:"unknown,omitempty"`
}

// RecordFix is the fix for an unusable record. where names the text that has it.
func RecordFix(where string) string {
	return "use the newest gpuworker; if the record is damaged, find out who wrote it, then remove the line that begins with " + recordMark + " from " + where
}

// SeedISO is the seed of a VM that has an image of ours.
const SeedISO = "ISO"

// UnknownVM stands for the UUID of a VM whose UUID is not known.
const UnknownVM = "unknown"

// recordMark begins the line that holds a record.
const recordMark = "gpuworker:"

// newer is the problem of a record that a newer program wrote, which this one must not
// overwrite; "" for all other records.
func (r Record) newer() string {
	if r.Version <= RecordVersion {
		return ""
	}
	return fmt.Sprintf("its record was written by a newer gpuworker (record version %d, this program knows %d)", r.Version, RecordVersion)
}

// Age is the age of the VM in seconds. now is a time in RFC 3339; known is false when
// one of the two times cannot be parsed.
func (r Record) Age(now string) (seconds int, known bool) { return between(r.Created, now) }

// SinceReplace is the time in seconds since the end of the replace that made the VM.
func (r Record) SinceReplace(now string) (seconds int, known bool) {
	return between(cmp.Or(r.Finished, r.Created), now)
}

func between(then, now string) (seconds int, known bool) {
	created, err := time.Parse(time.RFC3339, then)
	if err != nil {
		return 0, false
	}
	until, err := time.Parse(time.RFC3339, now)
	return int(until.Sub(created) / time.Second), err == nil
}

// Line writes the record as one line of text: "gpuworker: v=1 worker=gpu-1 pool=gpu
// …", with values escaped as in a URL query. flags are words without a value.
func (r Record) Line(flags ...string) string {
	var b strings.Builder
	b.WriteString(recordMark + " v=" + strconv.Itoa(RecordVersion))
	for _, key := range recordKeys {
		if value := key.get(&r); value != "" {
			b.WriteString(" " + key.name + "=" + url.QueryEscape(value))
		}
	}
	for _, word := range append(strings.Fields(r.Unknown), flags...) {
		b.WriteString(" " + word)
	}
	return b.String()
}

// recordKey is a key of a record's line with a text as its value.
type recordKey struct {
	name   string
	field  func(*Record) *string // nil for the card, which is not a string
	form   *regexp.Regexp        // of valid values; nil for any text
	stable bool                  // has the same meaning in every version
}

// The forms of values. Names are printed in commands that people copy, so a record
// with a name of another form is unusable.
var (
	nameForm = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$`)
	wordForm = regexp.MustCompile(`^[A-Za-z]{0,64}$`)
	uuidForm = regexp.MustCompile(`^([0-9A-Fa-f-]{1,36}|` + UnknownVM + `)?$`)
	hostForm = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]{0,252})?$`)
	cardForm = regexp.MustCompile(`^[0-9A-Fa-f:.]{0,16}$`)
	idForm   = regexp.MustCompile(`^([0-9A-Za-z][0-9A-Za-z._:-]{0,63})?$`)
	gpuForm  = regexp.MustCompile(`^(GPU-[0-9a-f-]{1,36})?$`)
	listForm = regexp.MustCompile(`^[A-Za-z0-9.,]{0,64}$`)
	timeForm = regexp.MustCompile(`^[0-9TZ:.+-]{0,40}$`)
)

var recordKeys = []recordKey{
	{"worker", func(r *Record) *string { return &r.Worker }, nameForm, true},
	{"pool", func(r *Record) *string { return &r.Pool }, nameForm, true},
	{"cluster", func(r *Record) *string { return &r.KubeCluster }, nameForm, true},
	{"vmid", func(r *Record) *string { return &r.VM }, idForm, true},
	{"lifecycle", func(r *Record) *string { return &r.Lifecycle }, wordForm, false},
	{"uuid", func(r *Record) *string { return &r.UUID }, uuidForm, true},
	{"host", func(r *Record) *string { return &r.Host }, hostForm, false},
	{"card", nil, cardForm, false},
	{"template", func(r *Record) *string { return &r.Template }, nil, false},
	{"clone", func(r *Record) *string { return &r.Clone }, wordForm, false},
	{"labels", func(r *Record) *string { return &r.Labels }, nil, false},
	{"taints", func(r *Record) *string { return &r.Taints }, nil, false},
	{"created", func(r *Record) *string { return &r.Created }, timeForm, false},
	{"replacing", func(r *Record) *string { return &r.Replacing }, uuidForm, false},
	{"replaced", func(r *Record) *string { return &r.Replaced }, uuidForm, false},
	{"finished", func(r *Record) *string { return &r.Finished }, timeForm, false},
	{"seed", func(r *Record) *string { return &r.Seed }, wordForm, false},
	{"driver", func(r *Record) *string { return &r.Driver }, listForm, false},
	{"bootstrapped", func(r *Record) *string { return &r.Bootstrapped }, timeForm, false},
	{"gpu", func(r *Record) *string { return &r.GPU }, gpuForm, false},
	{"by", func(r *Record) *string { return &r.By }, nil, false},
}

// get is the value of the key as the record's line has it.
func (k recordKey) get(r *Record) string {
	switch {
	case k.field != nil:
		return *k.field(r)
	case r.Card.IsZero():
		return ""
	}
	return r.Card.Slot.String() // the host has its own key, which comes first
}

// set sets the value; problem says why it cannot.
func (k recordKey) set(r *Record, value string) (problem string) {
	if k.field != nil {
		*k.field(r) = value
		return ""
	}
	if value == "" {
		return ""
	}
	slot, err := pci.ParseCardSlot(value)
	if err != nil {
		return k.malformed()
	}
	r.Card = pci.CardRef{Host: r.Host, Slot: slot}
	return ""
}

func (k recordKey) malformed() string {
	return fmt.Sprintf("its record is damaged: the value of %s is not of the form that gpuworker writes", k.name)
}

// Note is a parsed text with a record.
type Note struct {
	Record Record
	Flags  []string // words of the record's line without a value
	Rest   string   // the text without the record's line, which is kept
	// Problem says why the record is unusable and must not be replaced: it is damaged,
	// or a newer program wrote it. Record then has at most the keys with the same
	// meaning in every version.
	Problem string
}

// Has reports whether the record's line has the flag.
func (n Note) Has(flag string) bool { return slices.Contains(n.Flags, flag) }

// ParseRecord finds the record in a text; ok is false when there is none. A line that
// only mentions gpuworker: is not a record. Two records are a problem: it is not known
// which one is right.
func ParseRecord(text string) (note Note, ok bool) {
	for begin, end := nextMark(text, 0); begin < len(text); begin, end = nextMark(text, end) {
		var found Note
		values := found.words(text[begin+len(recordMark) : end])
		_, named := values["worker"]
		switch {
		case !named && values["v"] == "": // not a record
		case ok:
			return Note{Flags: append(note.Flags, found.Flags...), Rest: note.Rest, Problem: "its record is damaged: there are two"}, true
		default:
			found.read(values)
			found.Rest = without(text, begin, end)
			note, ok = found, true
		}
	}
	if !ok {
		return Note{Rest: text}, false
	}
	return note, true
}

// nextMark finds the next mark and the end of its record: the end of the line, or
// another mark. Both are the end of the text when there is no mark.
func nextMark(text string, from int) (begin, end int) {
	at := strings.Index(text[from:], recordMark)
	if at < 0 {
		return len(text), len(text)
	}
	begin = from + at
	words := text[begin+len(recordMark):]
	words, _, _ = strings.Cut(words, "\n")
	words, _, _ = strings.Cut(words, recordMark)
	return begin, begin + len(recordMark) + len(words)
}

// without is a text without the part between two indexes.
func without(text string, begin, end int) string {
	before, after := strings.TrimRight(text[:begin], " \n"), strings.TrimRight(text[end:], " \n")
	if after != "" && after[0] != '\n' {
		before += " "
	}
	return strings.Trim(before+after, " \n")
}

// words parses the words of a record's line: it returns values by key, and adds the
// flags and unknown words to the note.
func (n *Note) words(line string) map[string]string {
	values := map[string]string{}
	for _, word := range strings.Fields(line) {
		key, escaped, found := strings.Cut(word, "=")
		value, err := url.QueryUnescape(escaped)
		_, twice := values[key]
		switch {
		case !found:
			n.Flags = append(n.Flags, word)
		case !isRecordKey(key):
			n.Record.Unknown = strings.TrimSpace(n.Record.Unknown + " " + word)
		case err != nil:
			n.Problem = fmt.Sprintf("its record is damaged: %s is not a value", key)
		case twice:
			n.Problem = fmt.Sprintf("its record is damaged: it has two values of %s", key)
		default:
			values[key] = value
		}
		if found && err != nil {
			values[key] = "" // the key exists
		}
	}
	return values
}

func isRecordKey(key string) bool {
	return key == "v" || slices.ContainsFunc(recordKeys, func(k recordKey) bool { return k.name == key })
}

// read sets the values that have their form.
func (n *Note) read(values map[string]string) {
	if version, there := values["v"]; there {
		number, err := strconv.ParseUint(version, 10, 31)
		if err != nil {
			n.Problem = "its record is damaged: v is not a number"
		}
		n.Record.Version = int(number)
	}
	newer := n.Record.newer()
	for _, key := range recordKeys {
		value := values[key.name]
		switch {
		case newer != "" && !key.stable:
		case key.form != nil && !key.form.MatchString(value):
			n.Problem = key.malformed()
		default:
			n.Problem = cmp.Or(key.set(&n.Record, value), n.Problem)
		}
	}
	if n.Record.Worker == "" && n.Problem == "" {
		n.Problem = "its record is damaged: it names no worker"
	}
	switch {
	case n.Problem != "":
		n.Record = Record{VM: n.Record.VM}
	case newer != "":
		n.Problem = newer
	}
}

// Names reports whether the record can be that of the VM with this identifier. Where
// the hypervisor chooses identifiers, a record has none and matches every VM.
func (r *Record) Names(id string) bool { return r.VM == "" || r.VM == id }

// OwnerTag is on every VM of ours, ParkedTag on those that are stopped on purpose.
// Tags are for people and for quick lists; alone they do not prove ownership.
const (
	OwnerTag  = "gpuworker"
	ParkedTag = "gpuworker-parked"
)

// Ownership says whether a VM is ours.
type Ownership string

// The kinds of ownership.
const (
	// Foreign: not ours; never changed.
	Foreign Ownership = "foreign"
	// Ours: owner tag, recorded UUID and name match, and the recorded identifier if
	// there is one.
	Ours Ownership = "ours"
	// Unmarked: our own clone that is not marked yet: record, identifier and name
	// match, it never ran, and tag or UUID are still those of the template. It may be
	// marked, which makes it Ours.
	Unmarked Ownership = "unmarked"
	// Unverified: it has our tag or record, but does not match it: a copy or a restored
	// backup. Never changed.
	Unverified Ownership = "unverified"
)

// Ownership judges whether the VM is ours. For an unverified VM it also says why.
func (vm *VM) Ownership() (Ownership, string) {
	tagged := slices.Contains(vm.Tags, OwnerTag)
	r := vm.Record
	switch {
	case vm.Skipped:
		return Foreign, ""
	case vm.RecordProblem != "":
		return Unverified, vm.RecordProblem
	case r == nil && tagged:
		return Unverified, fmt.Sprintf("has the tag %q, but no record in its note", OwnerTag)
	case r == nil:
		return Foreign, ""
	case !r.Names(vm.ID):
		return Unverified, fmt.Sprintf("its note is that of VM %s: a copy or a restored backup", r.VM)
	case r.Worker != vm.Name:
		return Unverified, fmt.Sprintf("its note names worker %q, its name is %q", r.Worker, vm.Name)
	case vm.Template:
		return Unverified, "it is a template"
	case tagged && r.UUID != "" && r.UUID == vm.UUID:
		return Ours, ""
	case r.VM == "":
		return Unverified, "owner tag or SMBIOS UUID does not match its note: a copy or a restored backup"
	case vm.Running:
		return Unverified, "owner tag or SMBIOS UUID does not match its note, and it is running"
	default:
		return Unmarked, ""
	}
}

// Parked reports whether the VM is stopped on purpose.
func (vm *VM) Parked() bool { return slices.Contains(vm.Tags, ParkedTag) }

// VMRef identifies a VM. Before a change, all of its fields are compared with the VM:
// an identifier alone proves nothing.
type VMRef struct {
	Host string `json:"host"`
	ID   string `json:"id"`
	Name string `json:"name"`
	UUID string `json:"uuid"`
}
