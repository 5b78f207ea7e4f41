package pvesim

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// schema is the schema of a parameter in the table of the real API. This is a small
// reader of Proxmox VE's JSON schema. It is independent of the simulator, so that the
// same misunderstanding cannot be in both.
type schema struct {
	Type       string          `json:"type"`
	Optional   json.Number     `json:"optional"`
	Enum       []string        `json:"enum"`
	Minimum    *json.Number    `json:"minimum"`
	Maximum    *json.Number    `json:"maximum"`
	MaxLength  int             `json:"maxLength"`
	MinLength  int             `json:"minLength"`
	Pattern    string          `json:"pattern"`
	Requires   string          `json:"requires"`
	Format     json.RawMessage `json:"format"` // a name, or the properties of a string
	Items      *schema         `json:"items"`
	DefaultKey json.Number     `json:"default_key"`
	Alias      string          `json:"alias"`
	KeyAlias   string          `json:"keyAlias"`
}

func (p schema) required() bool { return p.Optional != "1" && p.Alias == "" }

// formatName is "" when there is no format, or when the format is a list of properties.
func (p schema) formatName() string {
	var name string
	if json.Unmarshal(p.Format, &name) != nil {
		return ""
	}
	return name
}

// properties of a string such as "virtio,bridge=vmbr0".
func (p schema) properties() map[string]schema {
	var props map[string]schema
	if json.Unmarshal(p.Format, &props) != nil {
		return nil
	}
	return props
}

var (
	perlFlags   = regexp.MustCompile(`\(\?\^([a-z]*):`)
	tableNumber = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([Ee][+-]?\d+)?$`)
	tableInt    = regexp.MustCompile(`^[+-]?\d+$`)
)

// perl compiles a pattern of the table. Like the real server, it adds no brackets.
func perl(pattern string) *regexp.Regexp {
	if form, ok := perlForms[pattern]; ok {
		return form
	}
	original := pattern
	pattern = perlFlags.ReplaceAllStringFunc(pattern, func(m string) string {
		if flags := perlFlags.FindStringSubmatch(m)[1]; flags != "" {
			return "(?" + flags + ":"
		}
		return "(?:"
	})
	// Go counts no further than 1000; no probe is as long as that.
	pattern = strings.ReplaceAll(pattern, "{0,4096}", "*")
	perlForms[original] = regexp.MustCompile("^" + pattern + "$")
	return perlForms[original]
}

// perlForms is a cache of compiled patterns.
var perlForms = map[string]*regexp.Regexp{}

// takes reports whether the real server accepts a value; known is false if the table has
// only the name of a format.
func (p schema) takes(value string) (ok, known bool) {
	switch p.Type {
	case "integer":
		ok = tableInt.MatchString(value)
	case "number":
		ok = tableNumber.MatchString(value)
	case "boolean":
		ok = value == "0" || value == "1"
	default:
		ok = true
	}
	if !ok {
		return false, true
	}
	if !p.inBounds(value) || p.Pattern != "" && !perl(p.Pattern).MatchString(value) ||
		len(p.Enum) > 0 && !slices.Contains(p.Enum, value) {
		return false, true
	}
	if name := p.formatName(); name != "" {
		form, known := namedFormats[name]
		if !known || value == "" {
			return false, false
		}
		return form.MatchString(value), true
	}
	return true, p.properties() == nil
}

func (p schema) inBounds(value string) bool {
	n := utf8.RuneCountInString(value)
	if p.MaxLength > 0 && n > p.MaxLength || n < p.MinLength {
		return false
	}
	number, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return true
	}
	lowest, highest := p.Minimum, p.Maximum
	return (lowest == nil || number >= asFloat(*lowest)) && (highest == nil || number <= asFloat(*highest))
}

func asFloat(n json.Number) float64 {
	f, err := n.Float64()
	if err != nil {
		panic(err) // the table has no such numbers
	}
	return f
}

// namedFormats are the documented formats of which the table has only the names.
var namedFormats = map[string]*regexp.Regexp{
	"pve-vmid":          regexp.MustCompile(`^[1-9][0-9]{2,8}$`),
	"pve-configid":      regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]+$`),
	"pve-configid-list": regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9_-]+[,; ]*)+$`),
	"pve-storage-id":    regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9._-]*[a-zA-Z0-9]$`),
	"pve-node":          regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$`),
	"pve-volume-id":     regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9._-]*[a-zA-Z0-9]:\S+$`),
	"pve-tag-list":      regexp.MustCompile(`^([a-zA-Z0-9_][a-zA-Z0-9_.+-]*[,; ]*)+$`),
	"urlencoded":        regexp.MustCompile(`^[-%a-zA-Z0-9_.!~*'()]*$`),
	"dns-name": regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?\.)*` +
		`[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$`),
	"pve-hotplug-features":     regexp.MustCompile(`^([01]|((network|disk|cpu|memory|usb|cloudinit)[,; ]*)+)$`),
	"pve-poolid":               regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){0,2}$`),
	"pve-vmid-list":            regexp.MustCompile(`^([1-9][0-9]{2,8}[,; ]*)+$`),
	"pve-storage-id-list":      regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9._-]*[a-zA-Z0-9][,; ]*)+$`),
	"pve-userid":               regexp.MustCompile(`^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+$`),
	"pve-userid-list":          regexp.MustCompile(`^([^\s:/,;]+@[A-Za-z][A-Za-z0-9.\-_]+[,; ]*)+$`),
	"pve-tokenid-list":         regexp.MustCompile(`^([^\s:/!,;]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+[,; ]*)+$`),
	"pve-groupid-list":         regexp.MustCompile(`^([A-Za-z0-9.\-_]+[,; ]*)+$`),
	"pve-roleid-list":          regexp.MustCompile(`^([A-Za-z0-9.\-_]+[,; ]*)+$`),
	"pve-roleid":               regexp.MustCompile(`^[A-Za-z0-9.\-_]+$`),
	"pve-priv-list":            regexp.MustCompile(`^((VM|Sys|Datastore|SDN|Pool|Mapping|User|Group|Realm|Permissions)\.[A-Z][A-Za-z.]+[,; ]*)+$`),
	"pve-ha-resource-or-vm-id": regexp.MustCompile(`^([a-z]+:\S+|\d+)$`),
	"email-opt":                regexp.MustCompile(`^[\w+~-]+(\.[\w+~-]+)*@[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)*$`),
	"pve-bridge-id":            regexp.MustCompile(`^[-_.\w]+$`),
	"disk-size":                regexp.MustCompile(`^\d+(\.\d+)?[KMGT]?$`),
	"mac-addr":                 regexp.MustCompile(`^(?i)[a-f0-9][02468ace](:[a-f0-9]{2}){5}$`),
}

// probes returns values that test the schema of a parameter: its limits from both sides,
// each choice, and values of no valid type.
func (p schema) probes() []string {
	values := []string{"0", "1", "2", "-1", "1.5", "1e3", "+7", "x", "nope", "a b", "a.b-c", "ünï", "local", "100", "99", "999999999", "1000000000"}
	values = append(values, p.Enum...)
	for _, choice := range p.Enum {
		values = append(values, choice+"x", strings.ToUpper(choice))
	}
	for _, limit := range []*json.Number{p.Minimum, p.Maximum} {
		if limit != nil {
			n := int(asFloat(*limit))
			values = append(values, strconv.Itoa(n-1), strconv.Itoa(n), strconv.Itoa(n+1))
		}
	}
	if p.MaxLength > 0 {
		values = append(values, strings.Repeat("a", p.MaxLength), strings.Repeat("a", p.MaxLength+1))
	}
	if p.MinLength > 0 {
		values = append(values, strings.Repeat("a", p.MinLength-1), strings.Repeat("a", p.MinLength))
	}
	values = append(values, patternSamples[p.Pattern]...)
	return append(values, formatSamples[p.formatName()]...)
}

// fitting returns a value that the real server accepts, and whether one is known.
func (p schema) fitting() (string, bool) {
	for _, value := range p.probes() {
		if ok, known := p.takes(value); ok && known {
			return value, true
		}
	}
	props := p.properties()
	var parts []string
	for _, name := range slices.Sorted(mapKeys(props)) {
		if !props[name].required() {
			continue
		}
		value, ok := props[name].fitting()
		if !ok {
			return "", false
		}
		parts = append(parts, name+"="+value)
	}
	return strings.Join(parts, ","), props != nil
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// stringProbe is a value of a property string; takes is the result of the table.
type stringProbe struct {
	value string
	takes bool
}

// stringProbes returns values that test each property of a property string with valid
// other properties, an unknown property, and missing required ones.
func (p schema) stringProbes() []stringProbe {
	props := p.properties()
	base, ok := p.fitting()
	if props == nil || !ok {
		return nil
	}
	join := func(parts ...string) string {
		return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ",")
	}
	out := []stringProbe{{join(base, "no-such-property=1"), false}}
	if base != "" {
		out = append(out, stringProbe{base, true})
	}
	for _, name := range slices.Sorted(mapKeys(props)) {
		prop := props[name]
		if prop.Alias != "" {
			continue
		}
		others := slices.DeleteFunc(strings.Split(base, ","), func(s string) bool { return strings.HasPrefix(s, name+"=") })
		if prop.required() && len(others) > 0 {
			out = append(out, stringProbe{join(others...), false})
		}
		for _, value := range prop.probes() {
			if strings.ContainsAny(value, ",=") || prop.Type == "boolean" && len(value) > 1 {
				continue
			}
			if ok, known := prop.takes(value); known {
				out = append(out, stringProbe{join(append(others, name+"="+value)...), ok})
			}
		}
	}
	return out
}

// patternSamples and formatSamples are valid values for some patterns and formats; the
// checks of the table determine for which.
var patternSamples = map[string][]string{
	`(/dev/.+|socket)`: {"socket", "/dev/ttyS0"},
	`(?:[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}|[01])`: {"11111111-1111-4111-8111-111111111111"},
	`(ide|sata|scsi|virtio)\d+`:                                     {"scsi0", "efidisk0"},
	`(now|\d{4}-\d{1,2}-\d{1,2}(T\d{1,2}:\d{1,2}:\d{1,2})?)`:        {"now", "2026-01-02", "2026-01-02T03:04:05"},
	`/dev/parport\d+|/dev/usb/lp\d+`:                                {"/dev/parport0", "/dev/usb/lp1"},
	`\+?\d+(\.\d+)?[KMGT]?`:                                         {"+1G", "10.5T", "1P"},
	`(?:(?:[0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-9a-fA-F])|([a-zA-Z][a-zA-Z0-9_-]+)`: {"0000:03:00.0", "03:00.0"},
	`net\d+=\d+(,net\d+=\d+)*`: {"net0=1500", "net0=1500,net1=9000"},
	`(?^:^(?^:[^\s:/]+)\@(?^:[A-Za-z][A-Za-z0-9\.\-_]+)(?:!(?^:[A-Za-z][A-Za-z0-9\.\-_]+))?$)`: {"ops@pve", "ops@pve!ci"},
	`(?^:[A-Za-z][A-Za-z0-9\.\-_]+)`:      {"t0", "0t"},
	`[a-zA-Z0-9\-]+`:                      {"abc-1"},
	`(?^:\d+(?:-\d+)?(?:;\d+(?:-\d+)?)*)`: {"0-3;5"},
}

var formatSamples = map[string][]string{
	"pve-vmid":                       {"120"},
	"pve-node":                       {"pve2"},
	"pve-storage-id":                 {"local-lvm", "-x", "x-"},
	"pve-configid":                   {"gpu_1-a", "1a"},
	"pve-configid-list":              {"scsi0", "scsi0,net0", "scsi0;net0"},
	"pve-volume-id":                  {"local:iso/x.iso", "local-lvm:vm-100-disk-0", "local:"},
	"pve-volume-id-or-qm-path":       {"local-lvm:1"},
	"pve-volume-id-or-absolute-path": {"local:iso/x.iso"},
	"pve-tag-list":                   {"gpu;worker", "gpu,t4", "-x"},
	"urlencoded":                     {"ssh-ed25519%20AAAA%0A", "a+b"},
	"dns-name":                       {"gpu-1", "gpu-1.example.org", "-gpu", "gpu_1"},
	"pve-hotplug-features":           {"network,disk", "network,nope"},
	"pve-poolid":                     {"gpu-workers", "a/b/c", "a/b/c/d", "a+b"},
	"pve-vmid-list":                  {"100,101", "100,x"},
	"pve-storage-id-list":            {"local,local-lvm", "local,-"},
	"pve-userid":                     {"root@pam", "root", "a@b"},
	"pve-userid-list":                {"root@pam,ops@pve", "root@pam,ops"},
	"pve-tokenid-list":               {"root@pam!ci,ops@pve!ci", "root@pam!ci,ops@pve", "ops@pve!c"},
	"pve-groupid-list":               {"staff,a.b-c_d", "sta/ff"},
	"pve-roleid-list":                {"PVEAdmin;My.Role", "my/role"},
	"pve-roleid":                     {"My_Role-1.x", "my role"},
	"pve-priv-list":                  {"VM.Audit", "VM.Audit,Sys.Audit", "vm.audit", "VM.Audit,nope"},
	"pve-ha-resource-or-vm-id":       {"vm:100", "100", "VM:100", "vm:", "a100"},
	"email-opt":                      {"ops@example.org", "a+b.c@x", "ops@", "@x", "a b@x"},
	"pve-bridge-id":                  {"vmbr0", "vmbr0/1"},
	"disk-size":                      {"10G", "10P"},
	"mac-addr":                       {"BC:24:11:00:00:01", "BD:24:11:00:00:01"},
}
