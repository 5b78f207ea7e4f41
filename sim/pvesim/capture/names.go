package capture

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

// names assigns pseudonyms: always the same one for the same name, numbered in the order
// of first use. All names go through it, so that references stay consistent.
type names struct {
	keep  bool // keep the keepable kinds of names
	known map[string]map[string]string
	count map[string]int
	nets  *nets
}

func newNames(keep bool, taken map[string]bool) *names {
	return &names{keep: keep, known: map[string]map[string]string{}, count: map[string]int{}, nets: &nets{taken: taken}}
}

// The kinds of names, each with the word that its pseudonyms begin with.
const (
	hostKind     = "host"
	vmKind       = "vm"
	storageKind  = "storage"
	poolKind     = "pool"
	mappingKind  = "mapping"
	bridgeKind   = "bridge"
	nicKind      = "port" // of a bridge
	tagKind      = "tag"
	roleKind     = "role"
	zoneKind     = "zone"
	workerKind   = "worker"
	workersKind  = "workers" // our WorkerPools
	kubeKind     = "kube"
	templateKind = "template"
	labelKind    = "label"
	valueKind    = "value"
	sharedKind   = "resource" // of USB and directory mappings
	userKind     = "user"
	realmKind    = "realm"
	groupKind    = "group"
	macKind      = "mac"
	uuidKind     = "uuid"
	serialKind   = "serial"
	diskKind     = "disk"
	otherKind    = "other"
)

// keepable are the kinds of names that KeepNames keeps. Those of people and identities
// are not among them.
var keepable = []string{hostKind, vmKind, storageKind, poolKind, mappingKind, bridgeKind, nicKind, tagKind, roleKind, zoneKind,
	workerKind, workersKind, kubeKind, templateKind, labelKind, valueKind, sharedKind}

// standard are names that every installation has or generates. They reveal nothing and
// are kept.
var standard = map[string]*regexp.Regexp{
	storageKind: regexp.MustCompile(`^local(-lvm|-zfs|-btrfs)?$`),
	bridgeKind:  regexp.MustCompile(`^vmbr\d{1,4}$`),
	nicKind:     regexp.MustCompile(`^(lo|eth\d{1,3}|nic\d{1,3}|bond\d{1,3}|en(o|s|p)[0-9][0-9a-z]{0,10})(\.\d{1,4})?$`),
	tagKind:     regexp.MustCompile(`^(` + inventory.OwnerTag + `|` + inventory.ParkedTag + `|template)$`),
	userKind:    regexp.MustCompile(`^root$`),
	realmKind:   regexp.MustCompile(`^(pam|pve)$`),
	zoneKind:    regexp.MustCompile(`^localnetwork$`),
}

// of returns the pseudonym of a name.
func (n *names) of(kind, name string) string {
	if name == "" {
		return ""
	}
	if kept := n.keep && slices.Contains(keepable, kind); kept || standard[kind] != nil && standard[kind].MatchString(name) {
		n.note(kind, name, name)
		return name
	}
	if known, ok := n.known[kind][name]; ok {
		return known
	}
	n.count[kind]++
	return n.note(kind, name, fmt.Sprintf("%s%d", kind, n.count[kind]))
}

// note stores a pseudonym that is not made by numbering.
func (n *names) note(kind, name, pseudonym string) string {
	if n.known[kind] == nil {
		n.known[kind] = map[string]string{}
	}
	n.known[kind][name] = pseudonym
	return pseudonym
}

// prepare assigns pseudonyms to many names, in their natural order.
func (n *names) prepare(kind string, all []string) {
	all = slices.Clone(all)
	slices.SortFunc(all, natural)
	for _, name := range all {
		n.of(kind, name)
	}
}

// vm assigns a pseudonym with the lowest VM number of that name, so that templates on
// several hosts still have the same name.
func (n *names) vm(id int, name string) {
	if _, known := n.known[vmKind][name]; name == "" || known {
		return
	}
	if n.keep {
		n.note(vmKind, name, name)
		return
	}
	n.note(vmKind, name, fmt.Sprintf("vm-%d", id))
}

// worker is the name of a worker, which is that of its VM.
func (n *names) worker(name string) string {
	if vm, ok := n.known[vmKind][name]; ok {
		return vm
	}
	return n.of(workerKind, name)
}

// template is the name of the template that a VM was cloned from.
func (n *names) template(name string) string {
	if vm, ok := n.known[vmKind][name]; ok {
		return vm
	}
	return n.of(templateKind, name)
}

// pool renames a nested pool part by part: a/b.
func (n *names) pool(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = n.of(poolKind, part)
	}
	return strings.Join(parts, "/")
}

// registerForm is the name that gpuworker gives to the mapping of a card:
// gpu-HOST-0000-03-00.
var registerForm = regexp.MustCompile(`^gpu-(.+)-([0-9a-f]{4}-[0-9a-f]{2}-[0-9a-f]{2})$`)

// mapping renames a PCI mapping. A mapping of gpuworker contains the host's name, and
// keeps that form.
func (n *names) mapping(name string) string {
	if m := registerForm.FindStringSubmatch(name); m != nil && !n.keep {
		for host, pseudonym := range n.known[hostKind] {
			if strings.ReplaceAll(strings.ToLower(host), ".", "_") == m[1] {
				return n.note(mappingKind, name, "gpu-"+pseudonym+"-"+m[2])
			}
		}
	}
	return n.of(mappingKind, name)
}

// login renames a user@realm or a user@realm!token.
func (n *names) login(id string) string {
	user, _, isToken := strings.Cut(id, "!")
	name, realm := user, ""
	if at := strings.LastIndex(user, "@"); at >= 0 {
		name, realm = user[:at], user[at+1:]
	}
	// The same name in two realms is two users.
	key := name
	if !standard[userKind].MatchString(name) {
		key = user
	}
	user = n.of(userKind, cmp.Or(key, "nobody")) + "@" + n.of(realmKind, cmp.Or(realm, "nowhere"))
	if !isToken {
		return user
	}
	if known, ok := n.known["token"][id]; ok {
		return known
	}
	n.count[user]++
	return n.note("token", id, fmt.Sprintf("%s!token%d", user, n.count[user]))
}

// uuid replaces a UUID, ignoring case.
func (n *names) uuid(text string) string {
	return n.counted(uuidKind, strings.ToLower(text), "c0000000-0000-4000-8000-%012d")
}

// generation replaces a generation id.
func (n *names) generation(text string) string {
	return n.counted("vmgenid", strings.ToLower(text), "d0000000-0000-4000-8000-%012d")
}

// mac replaces a MAC address by one with Proxmox's prefix.
func (n *names) mac(text string) string {
	text = strings.ToUpper(text)
	if known, ok := n.known[macKind][text]; ok {
		return known
	}
	n.count[macKind]++
	c := n.count[macKind]
	return n.note(macKind, text, fmt.Sprintf("BC:24:11:%02X:%02X:%02X", c>>16&0xff, c>>8&0xff, c&0xff))
}

// counted returns a numbered pseudonym of the given form.
func (n *names) counted(kind, text, form string) string {
	if known, ok := n.known[kind][text]; ok {
		return known
	}
	n.count[kind]++
	return n.note(kind, text, fmt.Sprintf(form, n.count[kind]))
}

// fileEnding matches the file endings that are kept.
var fileEnding = regexp.MustCompile(`\.(iso|img|tar\.(gz|xz|zst|bz2)|ova|ovf|qcow2|raw|vmdk|ya?ml|pl|sh|py|cfg|json)$`)

// file renames a file on a storage: iso/debian.iso.
func (n *names) file(kind, name string) string {
	word := map[string]string{"iso": "iso", "vztmpl": "container", "snippets": "snippet", "import": "import"}[kind]
	return kind + "/" + n.counted(word, kind+"/"+name, word+"%d") + fileEnding.FindString(name)
}
