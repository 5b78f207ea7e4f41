package pvesim

import (
	"slices"
	"strings"
)

// bootOrder is the order of starting that a VM has when a change begins. The
// change may not name it: what is deleted leaves it, new CD drives come last,
// and the new order waits for a restart when the VM runs.
type bootOrder struct{ keys []string }

func bootOrderOf(v *vm) *bootOrder {
	order, ok := strings.CutPrefix(v.conf["boot"], "order=")
	if !ok {
		return &bootOrder{}
	}
	return &bootOrder{keys: strings.Split(order, ";")}
}

// drop takes a deleted option out.
func (b *bootOrder) drop(c *change, v *vm, key string) {
	if !slices.Contains(b.keys, key) {
		return
	}
	b.keys = slices.DeleteFunc(b.keys, func(other string) bool { return other == key })
	b.write(c, v)
}

// add appends a CD drive; cloud-init drives and disks are not started from by
// themselves. An order of none is one of old, which has all CD drives.
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

// dropFromBoot takes a drive that goes to another VM out of the order at once.
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

// checkBoot: what is to be started from must be there.
func (c *change) checkBoot(v *vm, value string) error {
	for _, key := range splitList(bootFormat.parse(value)["order"]) {
		there := v.conf[key] != "" || v.pending[key] != "" || c.sets[key] != ""
		if !there || slices.Contains(c.deletes, key) {
			return die("invalid bootorder: device '%s' does not exist'", key)
		}
	}
	return nil
}
