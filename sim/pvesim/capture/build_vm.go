package capture

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

func (b *builder) vmIDs() []int { return slices.Sorted(maps.Keys(b.in.VMs)) }

// name is the VM's name in its configuration, or else in the list, which has generated
// names for VMs without one.
func (v *vmAnswers) name() string {
	for _, option := range v.Options {
		if option.Key == "name" && option.Value != nil {
			return string(*option.Value)
		}
	}
	return either(v.Failed != nil, v.Guest.Name, "")
}

func (b *builder) vms() {
	looked := map[int]bool{}
	for _, resource := range b.in.HA {
		if id, err := strconv.Atoi(strings.TrimPrefix(resource.SID, "vm:")); err == nil {
			looked[id] = true
		}
	}
	var snapshots []int
	for _, id := range b.vmIDs() {
		in := b.in.VMs[id]
		if b.in.Hosts[in.Guest.Node] == nil || strings.Contains(asText(in.Failed), "does not exist") {
			b.missing(vms([]int{id}), "it was removed or moved during the capture", "capture again")
			continue
		}
		vm := pvesim.VM{ID: id, Host: b.names.of(hostKind, in.Guest.Node), Pool: b.names.pool(in.Guest.Pool), HA: looked[id],
			Running: in.Guest.Status == "running", Config: map[string]any{}}
		b.options(&vm, in)
		vm.Running = vm.Running && vm.Config["template"] != 1
		vm.Guest = guest(vm.Config)
		if slices.ContainsFunc(in.Options, func(o apiPending) bool { return o.Key == "parent" }) {
			snapshots = append(snapshots, id)
		}
		b.world.VMs = append(b.world.VMs, vm)
	}
	if len(snapshots) > 0 {
		b.missing("snapshots of "+vms(snapshots), "a world does not support them", "")
	}
	b.leftOut()
	b.containers()
}

// options builds the current and the pending options of a VM.
func (b *builder) options(vm *pvesim.VM, in *vmAnswers) {
	if in.Failed != nil {
		because := either(b.in.Hosts[in.Guest.Node].Silent != nil, vm.Host+" does not answer", "they cannot be read"+b.reason(in.Failed))
		b.unread[because] = append(b.unread[because], vm.ID)
		for key, value := range map[string]string{"name": in.Guest.Name, "tags": in.Guest.Tags, "lock": in.Guest.Lock,
			"template": string(in.Guest.Template)} {
			if value != "" && value != "0" {
				b.option(vm.ID, vm.Config, key, value)
			}
		}
		return
	}
	pending := map[string]any{}
	for _, option := range in.Options {
		if option.Value != nil {
			b.option(vm.ID, vm.Config, option.Key, string(*option.Value))
		}
		if option.Pending != nil {
			b.option(vm.ID, pending, option.Key, string(*option.Pending))
		}
		if _, kept := vm.Config[option.Key]; kept && option.Delete.set() {
			vm.Deleting = append(vm.Deleting, option.Key)
		}
	}
	if len(pending) > 0 {
		vm.Pending = pending
	}
}

// option adds one option with its new value to a configuration.
func (b *builder) option(vmid int, config map[string]any, key, value string) {
	// The API returns a blank for an option without a value.
	if key == "digest" || key == "parent" || strings.TrimSpace(value) == "" {
		return
	}
	changed, ok := b.names.option(vmid, key, value)
	switch {
	case ok:
		config[key] = readable(changed)
	case key == "description":
		// Free text without a record: one note for all VMs says that it is left out.
	default:
		name := optionIndex.ReplaceAllString(key, "")
		if !slices.Contains(b.gone[name], vmid) {
			b.gone[name] = append(b.gone[name], vmid)
		}
	}
}

// readable converts a number to a YAML number, which is easier to read and the same for
// a world.
func readable(value string) any {
	if n, err := strconv.Atoi(value); err == nil && strconv.Itoa(n) == value && len(value) < 15 {
		return n
	}
	return value
}

// leftOut adds notes for the options that are not in the world.
func (b *builder) leftOut() {
	for _, because := range slices.Sorted(maps.Keys(b.unread)) {
		b.missing("options of "+vms(b.unread[because]), because, "capture again when they can be read")
	}
	for _, name := range slices.Sorted(maps.Keys(b.gone)) {
		because := "pvesim does not support its value"
		if name == "args" {
			because = "it is free text"
		}
		if matched(name, `^[a-z][a-z_-]{0,30}$`) == "" {
			name = "of an odd name"
		}
		b.missing(fmt.Sprintf("option %s of %s", name, vms(b.gone[name])), because, "")
	}
}

// guest assumes the content of a VM's disk: the operating system of ostype, and the agent
// if the VM is configured for it.
func guest(config map[string]any) pvesim.Guest {
	kind := fmt.Sprint(config["ostype"])
	g := pvesim.Guest{OS: "other"}
	switch {
	case len(config) == 0:
		g.OS = ""
	case kind == "l24" || kind == "l26":
		g.OS = "linux"
	case strings.HasPrefix(kind, "w"):
		g.OS = "windows"
	case kind == "solaris":
		g.OS = kind
	}
	agent := split(fmt.Sprint(config["agent"]))
	g.Agent = slices.Contains(agent, "1") || slices.Contains(agent, "enabled=1")
	return g
}

// containers adds a note for containers, which a world does not support.
func (b *builder) containers() {
	var ids []int
	for _, guest := range b.in.Guests {
		if guest.Type == "lxc" {
			ids = append(ids, int(guest.VMID))
		}
	}
	slices.Sort(ids)
	if len(ids) > 0 {
		b.missing("containers "+numbers(ids), "pvesim does not support them; their numbers are free in the world", "")
	}
	if len(b.world.VMs) > 0 {
		b.assumed("guests have the operating system of ostype and the configured agent", "a capture does not look into guests", "change guest in this file")
	}
}

func (b *builder) mappings() {
	slices.SortFunc(b.in.Mappings, func(x, y apiMapping) int { return natural(b.names.mapping(x.ID), b.names.mapping(y.ID)) })
	for _, in := range b.in.Mappings {
		m := pvesim.Mapping{ID: b.names.mapping(in.ID), Description: b.names.record(in.Description)}
		for _, entry := range in.Map {
			if changed := b.entry(entry); changed != "" {
				m.Map = append(m.Map, changed)
			} else {
				b.missing("an entry of mapping "+m.ID, "its form is unknown", "")
			}
		}
		if in.Mdev.set() || in.Live.set() {
			b.missing("mdev and live migration of mapping "+m.ID, "mappings of a world support neither", "")
		}
		if len(m.Map) > 0 {
			b.world.Mappings = append(b.world.Mappings, m)
		}
	}
}

// entry is one device of a mapping, without its description.
func (b *builder) entry(text string) string {
	changed := rewrite(text, func(key, value string) string {
		switch key {
		case "node":
			return b.names.of(hostKind, value)
		case "path":
			return matched(value, `^[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}(\.[0-9a-f])?(;[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}(\.[0-9a-f])?)*$`)
		case "id", "subsystem-id":
			return matched(value, `^[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}$`)
		case "iommugroup":
			return matched(value, `^\d+$`)
		}
		return ""
	})
	if property(changed, "node") == "" || property(changed, "path") == "" || property(changed, "id") == "" {
		return ""
	}
	return changed
}

// poolIDs are all pools in the order of a tree: a, a/b, a-b.
func (b *builder) poolIDs() []string {
	var ids []string
	for _, pool := range b.in.Pools {
		ids = append(ids, pool.ID)
	}
	for _, id := range b.vmIDs() {
		if pool := b.in.VMs[id].Guest.Pool; pool != "" {
			ids = append(ids, pool)
		}
	}
	slices.SortFunc(ids, func(x, y string) int {
		return slices.CompareFunc(strings.Split(x, "/"), strings.Split(y, "/"), natural)
	})
	return slices.Compact(ids)
}

func (b *builder) pools() {
	for _, id := range b.poolIDs() {
		b.world.Pools = append(b.world.Pools, pvesim.Pool{ID: b.names.pool(id)})
	}
}
