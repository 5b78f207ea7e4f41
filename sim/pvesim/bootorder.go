package pvesim

import (
	"slices"
	"strings"
)

// bootOrder is the boot order of a VM at the beginning of a change that does not set it.
// Deleted drives are removed from it and new CD drives are appended. If the VM is
// running, the new order is pending until a restart.
type bootOrder struct{ keys []string }

func bootOrderOf(v *vm) *bootOrder {
	order, ok := strings.CutPrefix(v.conf["boot"], "order=")
	if !ok {
		return &bootOrder{}
	}
	return &bootOrder{keys: strings.Split(order, ";")}
}

// drop removes a deleted option.
func (b *bootOrder) drop(c *change, v *vm, key string) {
	if !slices.Contains(b.keys, key) {
		return
	}
	b.keys = slices.DeleteFunc(b.keys, func(other string) bool { return other == key })
	b.write(c, v)
}

// add appends a CD drive; cloud-init drives and disks are not added automatically. An
// empty order is one of old versions, which includes all CD drives.
func (b *bootOrder) add(c *change, v *vm, key string) {
	d := parseDrive(c.sets[key])
	if _, justMade := d.newCloudInit(); justMade || !isDrive(key) || !d.isCDROM() || d.isCloudInit() ||
		len(b.keys) == 0 || slices.Contains(b.keys, key) {
		return
	}
	b.keys = append(b.keys, key)
	b.write(c, v)
}

func (b *bootOrder) write(c *change, v *vm) {
	if _, given := c.sets["boot"]; given || slices.Contains(c.deletes, "boot") {
		return
	}
	v.pending["boot"] = ""
	if len(b.keys) > 0 {
		v.pending["boot"] = "order=" + strings.Join(b.keys, ";")
	}
	delete(v.deletes, "boot")
	c.derived = append(c.derived, "boot")
}

// dropFromBoot removes a drive that is moved to another VM from the order at once.
func dropFromBoot(conf map[string]string, key string) {
	order, ok := strings.CutPrefix(conf["boot"], "order=")
	if !ok {
		return
	}
	left := slices.DeleteFunc(strings.Split(order, ";"), func(other string) bool { return other == key })
	conf["boot"] = ""
	if len(left) > 0 {
		conf["boot"] = "order=" + strings.Join(left, ";")
	}
}

// checkBoot checks that the devices in the boot order exist.
func (c *change) checkBoot(v *vm, value string) error {
	for _, key := range splitList(bootFormat.parse(value)["order"]) {
		there := v.conf[key] != "" || v.pending[key] != "" || c.sets[key] != ""
		if !there || slices.Contains(c.deletes, key) {
			return die("invalid bootorder: device '%s' does not exist'", key)
		}
	}
	return nil
}
