package pvesim

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// haResource is a VM's resource of the HA manager: its options as written.
type haResource struct{ options map[string]any }

// wanted is the requested state of the VM.
func (h *haResource) wanted() string {
	switch state := h.options["state"]; state {
	case nil, "enabled":
		return "started"
	default:
		return state.(string)
	}
}

// haManaged reports whether the HA manager starts and stops the VM; it does not if the
// state of the resource is "ignored".
func (v *vm) haManaged() bool { return v.ha != nil && v.ha.wanted() != "ignored" }

func haCalls() []call {
	const one = "/cluster/ha/resources/{sid}"
	sid := specs{"sid": formatted(sidFormat)}
	options := specs{"comment": text().upTo(4096), "failback": boolean(), "group": configIDSpec(), "max_relocate": integer().atLeast(0),
		"max_restart": integer().atLeast(0), "state": oneOf("started", "stopped", "enabled", "disabled", "ignored")}
	audit, console := perm("/", "Sys.Audit"), perm("/", "Sys.Console")
	move := sid.and(specs{"node": nodeSpec().req()})
	return []call{
		{method: "GET", path: "/cluster/ha/resources", params: specs{"type": oneOf("ct", "vm")}, may: audit, serve: (*Sim).haResources},
		{method: "POST", path: "/cluster/ha/resources", params: options.and(specs{"sid": formatted(sidFormat).req(), "type": oneOf("ct", "vm")}), may: console,
			serve: (*Sim).createHAResource, protected: true},
		{method: "GET", path: one, params: sid, may: audit, serve: (*Sim).getHAResource},
		{method: "PUT", path: one, params: sid.and(options).and(specs{"delete": formatted(configListFormat).upTo(4096).asList(), "digest": text().upTo(64)}), may: console,
			serve: (*Sim).updateHAResource, protected: true},
		{method: "DELETE", path: one, params: sid.and(specs{"purge": boolean()}), may: console, serve: (*Sim).deleteHAResource, protected: true},
		{method: "POST", path: one + "/migrate", params: move, may: console, serve: (*Sim).moveHAResource, protected: true},
		{method: "POST", path: one + "/relocate", params: move, may: console, serve: (*Sim).moveHAResource, protected: true},
	}
}

var (
	sidForm      = regexp.MustCompile(`^(?:[a-z]+:\S+|\d+)$`)
	guestForm    = regexp.MustCompile(`^[1-9][0-9]+$`)
	haOptionList = []string{"comment", "failback", "group", "max_relocate", "max_restart", "state"}
)

func sidFormat(_, v string) string {
	if !sidForm.MatchString(v) {
		return "value does not look like a valid ha resource id"
	}
	return ""
}

// parseSID reads vm:100, or just 100 for an existing VM.
func (s *Sim) parseSID(text string) (sid, kind, name string, err error) {
	kind, name, found := strings.Cut(text, ":")
	if found {
		return text, kind, name, nil
	}
	if id, _ := strconv.Atoi(text); s.vms[id] == nil {
		return "", "", "", die("unable to detect SID from VMID - VM/CT %s does not exist", text)
	}
	return "vm:" + text, "vm", text, nil
}

// haGuest returns the VM of a resource; nil if it is not a resource.
func (s *Sim) haGuest(sid string) *vm {
	name, isVM := strings.CutPrefix(sid, "vm:")
	id, _ := strconv.Atoi(name)
	if v := s.vms[id]; isVM && v != nil && v.ha != nil {
		return v
	}
	return nil
}

// haDigest is the digest of the file with all resources.
func (s *Sim) haDigest() string {
	var b strings.Builder
	for _, id := range s.vmIDs() {
		if v := s.vms[id]; v.ha != nil {
			fmt.Fprintf(&b, "vm: %d\n", id)
			for _, key := range slices.Sorted(maps.Keys(v.ha.options)) {
				fmt.Fprintf(&b, "\t%s %v\n", key, v.ha.options[key])
			}
		}
	}
	return sha1Hex(b.String())
}

func (s *Sim) haFields(v *vm) map[string]any {
	return merge(v.ha.options, map[string]any{"sid": fmt.Sprintf("vm:%d", v.id), "type": "vm", "digest": s.haDigest()})
}

// haResources lists the resources of the HA manager.
func (s *Sim) haResources(r *request) (any, error) {
	out := []any{}
	for _, id := range s.vmIDs() {
		if v := s.vms[id]; v.ha != nil && r.args.get("type") != "ct" {
			out = append(out, s.haFields(v))
		}
	}
	return out, nil
}

func (s *Sim) getHAResource(r *request) (any, error) {
	sid, _, _, err := s.parseSID(r.args.get("sid"))
	if err != nil {
		return nil, err
	}
	v := s.haGuest(sid)
	if v == nil {
		return nil, die("no such resource '%s'", sid)
	}
	return s.haFields(v), nil
}

// createHAResource adds a VM to the manager, which brings it to the requested state some
// seconds later; the default state is started.
func (s *Sim) createHAResource(r *request) (any, error) {
	if err := s.lockFor(haLock, "create resource failed"); err != nil {
		return nil, err
	}
	sid, kind, name, err := s.parseSID(r.args.get("sid"))
	if err != nil {
		return nil, err
	}
	if expected := r.args.get("type"); expected != "" && expected != kind {
		return nil, die("types does not match")
	}
	if err := s.noHAGroup(r); err != nil {
		return nil, err
	}
	v, err := s.guestToManage(sid, kind, name)
	if err != nil {
		return nil, err
	}
	options, err := haOptions(r.args)
	if err != nil {
		return nil, err
	}
	if v.ha != nil {
		return nil, die("create resource failed: resource ID '%s' already defined", sid)
	}
	v.ha = &haResource{options: options}
	s.haTold(v)
	return nil, nil
}

// guestToManage returns the VM of a new resource. There are no containers here, so a
// container's id is that of a VM or unknown.
func (s *Sim) guestToManage(sid, kind, name string) (*vm, error) {
	if kind != "vm" && kind != "ct" {
		return nil, die("unknown section type '%s'", kind)
	}
	if !guestForm.MatchString(name) {
		return nil, die("invalid VMID")
	}
	id, _ := strconv.Atoi(name)
	v := s.vms[id]
	switch {
	case v == nil:
		return nil, die("resource '%s' does not exist in cluster", sid)
	case kind == "ct":
		return nil, die("resource '%s' - guest with ID %d is not a container", sid, id)
	}
	return v, nil
}

// noHAGroup refuses HA groups: they were removed in version 9, and are not simulated for
// older versions.
func (s *Sim) noHAGroup(r *request) error {
	switch {
	case !r.args.has("group"):
		return nil
	case s.major < 9:
		return notSimulated("a HA group")
	}
	return die("invalid parameter 'group': ha groups have been migrated to rules")
}

// haOptions returns the options of a request.
func haOptions(given args) (map[string]any, error) {
	options := map[string]any{}
	for _, key := range haOptionList {
		value := given.get(key)
		switch {
		case !given.has(key):
		case strings.ContainsAny(value, "\r\n"):
			return nil, die("property contains a line feed")
		case key == "comment" || key == "state":
			options[key] = value
		default:
			options[key] = given.number(key, 0)
		}
	}
	return options, nil
}

func (s *Sim) updateHAResource(r *request) (any, error) {
	if err := s.lockFor(haLock, "update resources config failed"); err != nil {
		return nil, err
	}
	sid, _, _, err := s.parseSID(r.args.get("sid"))
	if err != nil {
		return nil, err
	}
	if err := s.noHAGroup(r); err != nil {
		return nil, err
	}
	const failed = "update resources config failed: "
	v := s.haGuest(sid)
	switch digest := r.args.get("digest"); {
	case digest != "" && digest != s.haDigest():
		return nil, die(failed + "detected modified configuration - file changed by other user? Try again.")
	case v == nil:
		return nil, die(failed+"no such resource '%s'", sid)
	}
	options, err := haOptions(r.args)
	if err != nil {
		return nil, die(failed+"%v", err)
	}
	changed := merge(v.ha.options, options)
	for _, key := range splitList(r.args.get("delete")) {
		if !slices.Contains(haOptionList, key) {
			return nil, die(failed+"no such option '%s'", key)
		}
		delete(changed, key)
	}
	v.ha.options = changed
	s.haTold(v)
	return nil, nil
}

// deleteHAResource removes a VM from the manager and does not change the VM.
func (s *Sim) deleteHAResource(r *request) (any, error) {
	if err := s.lockFor(haLock, "delete resource failed"); err != nil {
		return nil, err
	}
	sid, _, _, err := s.parseSID(r.args.get("sid"))
	if err != nil {
		return nil, err
	}
	v := s.haGuest(sid)
	if v == nil {
		return nil, die("cannot delete service '%s', not HA managed!", sid)
	}
	v.ha = nil
	s.changed(VMConfigured, v.node, v.id, "")
	return nil, nil
}

// haResource is the resource of a world's VM: its requested state is the current one.
func (v VM) haResource() *haResource {
	if !v.HA {
		return nil
	}
	state := "stopped"
	if v.Running {
		state = "started"
	}
	return &haResource{options: map[string]any{"state": state, "max_restart": 1, "max_relocate": 1}}
}
