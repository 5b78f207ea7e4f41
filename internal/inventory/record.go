package inventory

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Record is what we write beside everything that is ours, in the note of a VM
// and in the register of a card: who it is for and how to prove it. It holds no
// secret.
type Record struct {
	Worker      string `json:"worker"`
	Pool        string `json:"pool"`
	KubeCluster string `json:"kubeCluster"`
	Lifecycle   string `json:"lifecycle"`

	VMID int    `json:"vmid"`
	UUID string `json:"uuid"` // SMBIOS UUID that the VM has or will have

	Host string `json:"host,omitempty"`
	Card string `json:"card,omitempty"` // slot, "" for a plain worker

	Template string `json:"template,omitempty"` // what it was cloned from, "ubuntu-22.04"
	Clone    string `json:"clone,omitempty"`    // "Full" when it is a full copy of it, "" when linked or not known
	Labels   string `json:"labels,omitempty"`   // declared for the KubeNode, "a=b,c=d"
	Taints   string `json:"taints,omitempty"`   // likewise, "key=value:Effect"

	// By is who wrote it, "user@machine".
	By string `json:"by,omitempty"`
}

// recordMark begins the line that holds a record.
const recordMark = "gpuworker:"

// Line writes the record as one line of text that survives in a note:
// "gpuworker: worker=gpu-1 pool=gpu …", values escaped as in a URL query.
func (r Record) Line(extra ...string) string {
	var b strings.Builder
	b.WriteString(recordMark)
	for _, field := range r.fields() {
		if field.value != "" {
			b.WriteString(" " + field.key + "=" + url.QueryEscape(field.value))
		}
	}
	for _, word := range extra {
		b.WriteString(" " + word)
	}
	return b.String()
}

type recordField struct{ key, value string }

func (r Record) fields() []recordField {
	vmid := ""
	if r.VMID != 0 {
		vmid = strconv.Itoa(r.VMID)
	}
	return []recordField{
		{"worker", r.Worker}, {"pool", r.Pool}, {"cluster", r.KubeCluster}, {"lifecycle", r.Lifecycle},
		{"vmid", vmid}, {"uuid", r.UUID}, {"host", r.Host}, {"card", r.Card},
		{"template", r.Template}, {"clone", r.Clone}, {"labels", r.Labels}, {"taints", r.Taints}, {"by", r.By},
	}
}

// ParseRecord finds the record in a note. words are those parts of the record's
// line that are no field of it. rest is the note without the line, to be kept.
// ok is false when there is no record.
func ParseRecord(note string) (record Record, words []string, rest string, ok bool) {
	at := strings.LastIndex(note, recordMark)
	if at < 0 {
		return Record{}, nil, note, false
	}
	line, after, _ := strings.Cut(note[at+len(recordMark):], "\n")
	rest = strings.TrimRight(note[:at], " \n") + strings.TrimRight("\n"+after, " \n")
	rest = strings.Trim(rest, "\n")
	for _, word := range strings.Fields(line) {
		key, escaped, found := strings.Cut(word, "=")
		value, err := url.QueryUnescape(escaped)
		if !found || err != nil || !record.set(key, value) {
			words = append(words, word)
		}
	}
	if record.Worker == "" {
		return Record{}, nil, note, false
	}
	return record, words, rest, true
}

func (r *Record) set(key, value string) bool {
	target := map[string]*string{
		"worker": &r.Worker, "pool": &r.Pool, "cluster": &r.KubeCluster, "lifecycle": &r.Lifecycle,
		"uuid": &r.UUID, "host": &r.Host, "card": &r.Card,
		"template": &r.Template, "clone": &r.Clone, "labels": &r.Labels, "taints": &r.Taints, "by": &r.By,
	}[key]
	if key == "vmid" {
		n, err := strconv.Atoi(value)
		r.VMID = n
		return err == nil
	}
	if target == nil {
		return false
	}
	*target = value
	return true
}

// OwnerTag is on every VM of ours; ParkedTag on those that are stopped on
// purpose. Tags are for people and for quick lists: alone they prove nothing.
const (
	OwnerTag  = "gpuworker"
	ParkedTag = "gpuworker-parked"
)

// Ownership is what can be said of whose a VM is.
type Ownership string

// The kinds of ownership.
const (
	// Foreign: not ours, never touched.
	Foreign Ownership = "foreign"
	// Ours: owner tag, recorded UUID, recorded number and name all fit.
	Ours Ownership = "ours"
	// Fresh: our own clone that was not marked yet: record, number and name fit,
	// it never ran, and tag or UUID are still the template's. It may be marked,
	// and after that is Ours.
	Fresh Ownership = "fresh"
	// Doubtful: it carries our tag or note, and the proof fails: a copy or a
	// restored backup. Never touched.
	Doubtful Ownership = "doubtful"
)

// Ownership judges whose the VM is, and says why when it is doubtful.
func (vm *VM) Ownership() (Ownership, string) {
	tagged := slices.Contains(vm.Tags, OwnerTag)
	r := vm.Record
	switch {
	case r == nil && tagged:
		return Doubtful, fmt.Sprintf("has the tag %q, but no record in its note", OwnerTag)
	case r == nil:
		return Foreign, ""
	case r.VMID != vm.VMID:
		return Doubtful, fmt.Sprintf("its note is that of VM %d: a copy or a restored backup", r.VMID)
	case r.Worker != vm.Name:
		return Doubtful, fmt.Sprintf("its note names worker %q, its name is %q", r.Worker, vm.Name)
	case vm.Template:
		return Doubtful, "it is a template"
	case tagged && r.UUID != "" && r.UUID == vm.UUID:
		return Ours, ""
	case vm.Running:
		return Doubtful, "owner tag or SMBIOS UUID do not fit its note, and it is running"
	default:
		return Fresh, ""
	}
}

// Parked tells that the VM is stopped on purpose.
func (vm *VM) Parked() bool { return slices.Contains(vm.Tags, ParkedTag) }

// VMRef names a VM together with the proof that it is the one meant. Whoever
// changes a VM compares all of it first: a number alone proves nothing.
type VMRef struct {
	Host string `json:"host"`
	VMID int    `json:"vmid"`
	Name string `json:"name"`
	UUID string `json:"uuid"`
}
