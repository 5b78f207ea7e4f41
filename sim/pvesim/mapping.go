package pvesim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// mapping is a PCI resource mapping.
type mapping struct {
	id, description string
	hasDescription  bool
	entries         []string
	live, mdev      string // "", "0" or "1"
}

func mappingCalls() []call {
	path := "/mapping/pci/{id}"
	body := specs{"description": text().upTo(4096), "map": array(mapEntryFormat.check), "mdev": boolean(), "live-migration-capable": boolean()}
	create := body.and(specs{"id": configIDSpec().req(), "map": array(mapEntryFormat.check).req()})
	update := body.and(specs{"digest": text().upTo(64), "delete": formatted(configListFormat).upTo(4096).asList()})
	return []call{
		{method: "GET", path: "/cluster/mapping", serve: index("name", "dir", "pci", "usb")},
		{method: "GET", path: "/cluster/mapping/pci", params: specs{"check-node": nodeSpec()}, proxy: "check-node", serve: (*Sim).listMappings},
		{method: "POST", path: "/cluster/mapping/pci", params: create, may: perm("/mapping/pci", "Mapping.Modify"),
			serve: (*Sim).createMapping, protected: true},
		{method: "GET", path: "/cluster/mapping/pci/{id}", serve: (*Sim).getMapping, protected: true,
			may: orPerm(perm(path, "Mapping.Use"), perm(path, "Mapping.Modify"), perm(path, "Mapping.Audit"))},
		{method: "PUT", path: "/cluster/mapping/pci/{id}", params: update, may: perm(path, "Mapping.Modify"),
			serve: (*Sim).updateMapping, protected: true},
		{method: "DELETE", path: "/cluster/mapping/pci/{id}", may: perm("/mapping/pci", "Mapping.Modify"),
			serve: (*Sim).deleteMapping, protected: true},
	}
}

func configListFormat(_, v string) string {
	for _, id := range splitList(v) {
		if text := configIDFormat("", id); text != "" {
			return text
		}
	}
	return ""
}

// mapDigest is the SHA-1 of the file with all mappings: a change of any of
// them changes it.
func (s *Sim) mapDigest() string {
	var b strings.Builder
	for _, id := range s.mapOrder {
		m := s.mappings[id]
		for _, field := range append([]string{id, m.description, m.live, m.mdev}, m.entries...) {
			b.WriteString(field)
			b.WriteByte(0)
		}
		b.WriteByte('\n')
	}
	return sha1Hex(b.String())
}

func mappingFields(m *mapping, digest string) map[string]any {
	out := map[string]any{"digest": digest, "type": "pci", "map": slices.Clone(m.entries)}
	if m.hasDescription || m.description != "" {
		out["description"] = m.description
	}
	if m.live != "" {
		out["live-migration-capable"] = flagValue(m.live)
	}
	if m.mdev != "" {
		out["mdev"] = flagValue(m.mdev)
	}
	return out
}

func flagValue(text string) int {
	if text == "1" {
		return 1
	}
	return 0
}

func (s *Sim) listMappings(r *request) (any, error) {
	out, digest := []any{}, s.mapDigest()
	for _, id := range s.mapOrder {
		if !s.may(r.caller, "/mapping/pci/"+id, "Mapping.Use", "Mapping.Modify", "Mapping.Audit") {
			continue
		}
		m := s.mappings[id]
		entry := mappingFields(m, digest)
		entry["id"] = id
		if node := r.args.get("check-node"); node != "" {
			entry["checks"] = s.checkMapping(m, node)
		}
		out = append(out, entry)
	}
	return out, nil
}

// checkMapping returns the result of check-node for a mapping on a host.
func (s *Sim) checkMapping(m *mapping, node string) []any {
	entries := m.on(node)
	if len(entries) == 0 {
		return []any{map[string]any{"severity": "warning", "message": fmt.Sprintf("No mapping for node %s.", node)}}
	}
	out := []any{}
	for _, entry := range entries {
		if text := s.hosts[node].assertMapping(m, entry); text != "" {
			out = append(out, map[string]any{"severity": "error", "message": "Invalid configuration: " + text + "\n"})
		}
	}
	return out
}

// on returns the entries for a host.
func (m *mapping) on(node string) []map[string]string {
	var out []map[string]string
	for _, text := range m.entries {
		if entry := mapEntryFormat.parse(text); entry["node"] == node {
			out = append(out, entry)
		}
	}
	return out
}

// assertMapping compares an entry, and the mdev option of its mapping, with the hardware;
// "" when they match. All devices of an entry must be of the same model; the IOMMU group
// is that of the first.
func (h *host) assertMapping(m *mapping, entry map[string]string) string {
	for i, path := range strings.Split(entry["path"], ";") {
		if !strings.Contains(path, ".") {
			path += ".0"
		}
		f := h.function(path)
		if f == nil {
			return fmt.Sprintf("pci device '%s' not found", path)
		}
		if text := h.assertFunction(m, entry, f, i == 0); text != "" {
			return text
		}
	}
	return ""
}

// assertFunction compares one function. On a host without IOMMU, the group is not
// compared; there the start of the VM reports the error (recording 085).
func (h *host) assertFunction(m *mapping, entry map[string]string, f *PCIFunction, first bool) string {
	right := map[string]string{"id": f.ID, "iommugroup": fmt.Sprint(f.Group), "mdev": "0", "subsystem-id": f.Subsystem}
	if f.Group < 0 {
		right["iommugroup"] = ""
	}
	entry = merge(entry, map[string]string{"mdev": cmp.Or(m.mdev, "0")})
	for _, key := range []string{"id", "iommugroup", "mdev", "subsystem-id"} {
		if key == "iommugroup" && (h.NoIOMMU || !first) {
			continue
		}
		expected, given := right[key], entry[key]
		switch {
		case expected != "" && given == "":
			return fmt.Sprintf("missing expected property '%s' for device '%s'", key, f.Address)
		case expected == "" && given != "":
			return fmt.Sprintf("unexpected property '%s' configured for device '%s'", key, f.Address)
		case expected != given:
			return fmt.Sprintf("'%s' does not match for '%s' (%s != %s)", key, m.id, expected, given)
		}
	}
	return ""
}

func (s *Sim) getMapping(r *request) (any, error) {
	m := s.mappings[r.args.get("id")]
	if m == nil {
		return nil, die("mapping '%s' not found", r.args.get("id"))
	}
	return mappingFields(m, s.mapDigest()), nil
}

func (s *Sim) createMapping(r *request) (any, error) {
	id := r.args.get("id")
	if err := s.lockFor(mappingLock, "create hardware mapping failed"); err != nil {
		return nil, err
	}
	if s.mappings[id] != nil {
		return nil, die("create hardware mapping failed: pci ID '%s' already defined", id)
	}
	if strings.Contains(r.args.get("description"), "\n") {
		return nil, die("property contains a line feed")
	}
	m := &mapping{id: id}
	m.set(r.args)
	s.mappings[id] = m
	s.mapOrder = append(s.mapOrder, id)
	s.changed(MappingChanged, "", 0, id)
	return nil, nil
}

func (m *mapping) set(a args) {
	if a.has("map") {
		m.entries = slices.Clone(a["map"].values)
	}
	if a.has("description") {
		// The file keeps neither blanks around a value nor empty values.
		m.description = strings.TrimSpace(a.get("description"))
		m.hasDescription = m.description != ""
	}
	if a.has("live-migration-capable") {
		m.live = a.get("live-migration-capable")
	}
	if a.has("mdev") {
		m.mdev = a.get("mdev")
	}
}

// updateMapping requires map in each request; the digest is checked before.
func (s *Sim) updateMapping(r *request) (any, error) {
	fail := func(format string, args ...any) (any, error) {
		return nil, die("update hardware mapping failed: "+format, args...)
	}
	if err := s.lockFor(mappingLock, "update hardware mapping failed"); err != nil {
		return nil, err
	}
	m := s.mappings[r.args.get("id")]
	switch {
	case r.args.get("digest") != "" && r.args.get("digest") != s.mapDigest():
		return fail("detected modified configuration - file changed by other user? Try again.")
	case m == nil:
		return fail("pci ID '%s' does not exist", r.args.get("id"))
	}
	if !r.args.has("map") {
		return fail("missing value for required option 'map'")
	}
	if text := undeletable(r.args); text != "" {
		return fail("%s", text)
	}
	if strings.Contains(r.args.get("description"), "\n") {
		return fail("property contains a line feed")
	}
	m.drop(splitList(r.args.get("delete")))
	m.set(r.args)
	s.changed(MappingChanged, "", 0, m.id)
	return nil, nil
}

// undeletable returns why an option cannot be deleted.
func undeletable(a args) string {
	for _, option := range splitList(a.get("delete")) {
		switch {
		case option == "map":
			return "unable to delete required option 'map'"
		case !slices.Contains([]string{"description", "mdev", "live-migration-capable"}, option):
			return fmt.Sprintf("no such option '%s'", option)
		case a.has(option):
			return fmt.Sprintf("cannot set and delete property '%s' at the same time!", option)
		}
	}
	return ""
}

func (m *mapping) drop(options []string) {
	for _, option := range options {
		switch option {
		case "description":
			m.description, m.hasDescription = "", false
		case "mdev":
			m.mdev = ""
		default:
			m.live = ""
		}
	}
}

// deleteMapping accepts no digest, and succeeds for missing mappings and for those in
// use.
func (s *Sim) deleteMapping(r *request) (any, error) {
	id := r.args.get("id")
	if err := s.lockFor(mappingLock, "delete pci mapping failed"); err != nil {
		return nil, err
	}
	if s.mappings[id] != nil {
		delete(s.mappings, id)
		s.mapOrder = slices.DeleteFunc(s.mapOrder, func(other string) bool { return other == id })
		s.changed(MappingChanged, "", 0, id)
	}
	return nil, nil
}
