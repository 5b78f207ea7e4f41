package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// view is one side of a comparison: a worker as declared, as configured, or as
// it runs now.
type view struct {
	machine inventory.Machine
	record  inventory.Record
	// pastFirstBoot: the guest was set up from our seed, so user, keys, addresses and DNS
	// do not change any more when the hypervisor's options for cloud-init do.
	pastFirstBoot bool
}

// field is one declared property of a worker: how to read and set it, and when a
// change takes effect.
type field struct {
	name string
	when plan.When
	get  func(v *view) string
	set  func(to, from *view)
	// optional: a declaration of "" keeps the present value.
	optional bool
	nic      int // number of its network card, from 1; 0 for none
}

// fields are all properties that are compared, in the order in which a plan shows
// them; those of networks are repeated for each network card. When a change takes
// effect follows the hotplug rules of Proxmox VE (qm(1), hotplug; pending changes)
// and of QEMU. A MAC needs a stop: to change it at once, the card would have to be
// unplugged, and the guest would lose its network.
var fields = slices.Concat(
	plain("labels", plan.Live, func(v *view) string { return v.record.Labels }, func(to, from *view) { to.record.Labels = from.record.Labels }, false),
	plain("taints", plan.Live, func(v *view) string { return v.record.Taints }, func(to, from *view) { to.record.Taints = from.record.Taints }, false),
	plain("lifecycle", plan.Live, func(v *view) string { return v.record.Lifecycle }, func(to, from *view) { to.record.Lifecycle = from.record.Lifecycle }, false),
	plain(v1alpha1.FieldOnBoot, plan.Live, func(v *view) string { return yesNo(v.machine.OnBoot) }, func(to, from *view) { to.machine.OnBoot = from.machine.OnBoot }, false),
	plain(v1alpha1.FieldProtection, plan.Live, func(v *view) string { return yesNo(v.machine.Protection) }, func(to, from *view) { to.machine.Protection = from.machine.Protection }, false),
	network("name", plan.Live, func(n *inventory.NIC) string { return n.Network }, func(to, from *inventory.NIC) { to.Network = from.Network }, true),
	network("vlan", plan.Live, func(n *inventory.NIC) string { return number(n.VLAN, "") }, func(to, from *inventory.NIC) { to.VLAN = from.VLAN }, false),
	plain("machine.disk.size", plan.Live, func(v *view) string { return mebibytes(v.machine.DiskMiB) }, func(to, from *view) { to.machine.DiskMiB = from.machine.DiskMiB }, true),

	plain("access.user", plan.NextBoot, func(v *view) string { return v.machine.Guest.User }, func(to, from *view) { to.machine.Guest.User = from.machine.Guest.User }, true),
	plain("access.sshKeys", plan.NextBoot, func(v *view) string { return strings.Join(v.machine.Guest.SSHKeys, "\n") }, func(to, from *view) { to.machine.Guest.SSHKeys = from.machine.Guest.SSHKeys }, false),
	network("addresses", plan.NextBoot, func(n *inventory.NIC) string { return n.Address }, func(to, from *inventory.NIC) { to.Address = from.Address }, false),
	network("gateway", plan.NextBoot, func(n *inventory.NIC) string { return n.Gateway }, func(to, from *inventory.NIC) { to.Gateway = from.Gateway }, false),
	plain("dns.servers", plan.NextBoot, func(v *view) string { return strings.Join(v.machine.Guest.DNS, " ") }, func(to, from *view) { to.machine.Guest.DNS = from.machine.Guest.DNS }, true),
	plain("dns.search", plan.NextBoot, func(v *view) string { return strings.Join(v.machine.Guest.Search, " ") }, func(to, from *view) { to.machine.Guest.Search = from.machine.Guest.Search }, true),

	network("macs", plan.NeedsStop, func(n *inventory.NIC) string { return n.MAC }, func(to, from *inventory.NIC) { to.MAC = from.MAC }, true),
	plain("machine.cores", plan.NeedsStop, func(v *view) string { return number(v.machine.Cores, "") }, func(to, from *view) { to.machine.Cores = from.machine.Cores }, false),
	plain("machine.memory", plan.NeedsStop, func(v *view) string { return mebibytes(v.machine.MemoryMiB) }, func(to, from *view) { to.machine.MemoryMiB = from.machine.MemoryMiB }, false),
	plain("ballooning", plan.NeedsStop, func(v *view) string { return number(v.machine.BalloonMiB, " MiB") }, func(to, from *view) { to.machine.BalloonMiB = from.machine.BalloonMiB }, false),
	plain(v1alpha1.FieldCPU, plan.NeedsStop, func(v *view) string { return v.machine.CPU }, func(to, from *view) { to.machine.CPU = from.machine.CPU }, false),
	plain(v1alpha1.FieldMachineType, plan.NeedsStop, func(v *view) string { return v.machine.Type }, func(to, from *view) { to.machine.Type = from.machine.Type }, false),
	plain("guest agent", plan.NeedsStop, func(v *view) string { return onlyYes(v.machine.Agent) }, func(to, from *view) { to.machine.Agent = from.machine.Agent }, true),

	plain("gpus", plan.NeedsStop, cardSlot, setCard, true),
	plain(v1alpha1.FieldPCIe, plan.NeedsStop, cardFlag(func(c *inventory.Card) bool { return c.PCIe }), setCard, true),
	plain(v1alpha1.FieldROMBar, plan.NeedsStop, cardFlag(func(c *inventory.Card) bool { return c.ROMBar }), setCard, true),
	plain(v1alpha1.FieldXVGA, plan.NeedsStop, cardFlag(func(c *inventory.Card) bool { return c.XVGA }), setCard, true),

	plain("bootstrap.seed", plan.NeedsRemake, func(v *view) string { return v.record.Seed }, func(to, from *view) { to.record.Seed = from.record.Seed }, false),
	plain("driver", plan.NeedsRemake, func(v *view) string { return v.record.Driver }, func(to, from *view) { to.record.Driver = from.record.Driver }, false),
	plain("template", plan.NeedsRemake, func(v *view) string { return v.record.Template }, func(to, from *view) { to.record.Template = from.record.Template }, true),
	plain("machine.firmware", plan.NeedsRemake, func(v *view) string { return v.machine.Firmware }, func(to, from *view) { to.machine.Firmware = from.machine.Firmware }, true),
	plain("machine.disk.storage", plan.NeedsRemake, func(v *view) string { return v.machine.Storage }, func(to, from *view) { to.machine.Storage = from.machine.Storage }, true),
)

func plain(name string, when plan.When, get func(v *view) string, set func(to, from *view), optional bool) []field {
	return []field{{name, when, get, set, optional, 0}}
}

// maxNICs is the largest number of network cards that a document can declare.
const maxNICs = 32

// network makes one field of networks for each network card.
func network(name string, when plan.When, get func(*inventory.NIC) string, set func(to, from *inventory.NIC), optional bool) []field {
	var all []field
	for i := range maxNICs {
		all = append(all, field{
			fmt.Sprintf("networks[%d].%s", i, name), when,
			func(v *view) string { nic := v.machine.NIC(i); return get(&nic) },
			func(to, from *view) {
				declared := from.machine.NIC(i)
				to.machine.ChangeNIC(i, func(nic *inventory.NIC) { set(nic, &declared) })
			},
			optional, i + 1,
		})
	}
	return all
}

func cardSlot(v *view) string {
	if v.machine.Card == nil {
		return ""
	}
	return v.machine.Card.Ref.String()
}

// cardFlag reads an option of the card; "" when there is no card yet: then the field
// of the card itself is the change.
func cardFlag(flag func(*inventory.Card) bool) func(v *view) string {
	return func(v *view) string {
		if v.machine.Card == nil {
			return ""
		}
		return yesNo(flag(v.machine.Card))
	}
}

func setCard(to, from *view) { to.machine.Card = from.machine.Card }

func isCardField(name string) bool { return name == "gpus" || isCardOption(name) }

func isCardOption(name string) bool {
	return name == v1alpha1.FieldPCIe || name == v1alpha1.FieldROMBar || name == v1alpha1.FieldXVGA
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func onlyYes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func number(n int, unit string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d%s", n, unit)
}

func mebibytes(n int) string {
	switch {
	case n == 0:
		return ""
	case n%1024 == 0:
		return fmt.Sprintf("%d GiB", n/1024)
	}
	return fmt.Sprintf("%d MiB", n)
}

// difference is a change together with its field.
type difference struct {
	plan.Change
	field *field
}

// compare finds the differences from the declaration. running is the configuration
// that the VM runs with now; nil when it is stopped.
func compare(declared, configured, running *view) []difference {
	var all []difference
	for i := range fields {
		f := &fields[i]
		if f.nic > len(declared.machine.NICs) {
			continue // an undeclared network card stays as it is
		}
		needs, have := f.get(declared), f.get(configured)
		if needs == "" && f.optional || isCardOption(f.name) && (configured.machine.Card == nil || running != nil && running.machine.Card == nil) {
			continue // kept as it is; or the field of the card itself is the change
		}
		d := difference{plan.Change{Field: f.name, From: shown(f, have), To: shown(f, needs), When: f.whenFor(declared, configured)}, f}
		now := have
		if running != nil {
			now = f.get(running)
		}
		switch {
		case needs != have && f.when == plan.NeedsStop && running != nil && now == needs:
			d.When = plan.Live // reverts a pending change that somebody else wrote
			all = append(all, d)
		case needs != have:
			all = append(all, d)
		case f.when == plan.NeedsStop && d.When == plan.NeedsStop && now != needs:
			d.From, d.Written = shown(f, now), true
			all = append(all, d)
		}
	}
	return all
}

// whenFor is when a change takes effect. Two fields depend on the direction: a disk
// can only grow, and a semi-persistent worker stays semi-persistent until a person
// names it. A new network card gets its MAC when it is added.
func (f *field) whenFor(declared, configured *view) plan.When {
	switch {
	case declared.pastFirstBoot && f.isFirstBoot(configured):
		return plan.NeedsRemake
	case f.name == "driver" && !declared.pastFirstBoot && configured.record.Bootstrapped == "" && configured.record.Seed == declared.record.Seed:
		return plan.Live // the guest was not told yet
	case f.name == "machine.disk.size" && declared.machine.DiskMiB < configured.machine.DiskMiB:
		return plan.NeedsRemake
	case f.nic > 0 && f.when == plan.NeedsStop && configured.machine.NIC(f.nic-1).Network == "":
		return plan.Live
	case f.name == "lifecycle" && declared.record.Lifecycle == string(v1alpha1.Ephemeral):
		return plan.NeedsRemake
	}
	return f.when
}

// isFirstBoot reports whether the field is set in the guest at its first boot only: login,
// addresses and DNS, and the MACs by which the guest knows its networks.
func (f *field) isFirstBoot(configured *view) bool {
	added := f.nic > 0 && configured.machine.NIC(f.nic-1).Network == ""
	return f.when == plan.NextBoot || f.nic > 0 && (f.when == plan.NeedsStop || added)
}

// shown writes a value for people: SSH keys by their names, "" as "none".
func shown(f *field, value string) string {
	switch {
	case f.name == "access.sshKeys" && value != "":
		return keyNames(strings.Split(value, "\n"))
	case value == "" && f.name == "ballooning":
		return "off"
	case value == "":
		return "none"
	}
	return value
}

// keyNames names public keys by their comments, else by the end of the key.
func keyNames(keys []string) string {
	var names []string
	for _, key := range keys {
		parts := strings.Fields(key)
		switch {
		case len(parts) > 2:
			names = append(names, parts[2])
		case len(parts) > 0:
			last := parts[len(parts)-1]
			names = append(names, "…"+last[max(0, len(last)-8):])
		}
	}
	return strings.Join(names, ", ")
}

// carry is the result of a configure step: the present configuration with the
// declared values of all differences of the given kinds.
func carry(declared, configured *view, differences []difference, kinds ...plan.When) view {
	result := *configured
	for _, d := range differences {
		for _, kind := range kinds {
			if d.When == kind {
				d.field.set(&result, declared)
			}
		}
	}
	return result
}

func changesOf(differences []difference) []plan.Change {
	var changes []plan.Change
	for _, d := range differences {
		changes = append(changes, d.Change)
	}
	return changes
}

func has(differences []difference, test func(difference) bool) bool {
	for _, d := range differences {
		if test(d) {
			return true
		}
	}
	return false
}

func hasKind(differences []difference, kinds ...plan.When) bool {
	return has(differences, func(d difference) bool {
		for _, kind := range kinds {
			if d.When == kind {
				return true
			}
		}
		return false
	})
}

// ReplaceOnly are the fields of a WorkerPool that cannot be changed in place, whatever
// their values are.
func ReplaceOnly() []string {
	var names []string
	for i := range fields {
		if fields[i].when == plan.NeedsRemake {
			names = append(names, fields[i].name)
		}
	}
	return names
}
