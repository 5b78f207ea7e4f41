package pvesim

import (
	"context"
	"slices"
	"strings"
)

func (s *Sim) setOption(ctx context.Context, c *change, v *vm, key, value string) error {
	values := []string{v.conf[key], v.pending[key], value}
	if hasIndex(key, "serial") && value != "socket" {
		// The error about a real port comes first.
		values = []string{value}
	}
	for _, value := range values {
		if hasIndex(key, "unused") {
			break
		}
		if err := s.lateOptionPerm(c.caller, v.id, "modify", key, value); err != nil {
			return err
		}
	}
	value, err := s.storedValue(ctx, c, v, key, value)
	if err != nil || value == "" && isDrive(key) {
		return err
	}
	s.dropPending(v, key)
	delete(v.deletes, key)
	v.pending[key] = asRead(key, value)
	return nil
}

// storedValue returns the stored value of an option: it creates new disks, chooses
// addresses and sorts lists. A drive with an empty result is not written.
func (s *Sim) storedValue(ctx context.Context, c *change, v *vm, key, value string) (string, error) {
	switch {
	case isDrive(key):
		d := parseDrive(value)
		if d.implied && (hasIndex(key, "virtio") || key == "efidisk0" || key == "tpmstate0") {
			// The real server writes it, cannot read it again, and drops it.
			return "", nil
		}
		made, err := s.makeDrive(context.WithoutCancel(ctx), v, v.merged(), key, value, c.say)
		if _, _, justMade := d.allocation(); err == nil && justMade && v.template() {
			made = s.baseOf(v, made)
		}
		return made, err
	case isNet(key):
		return printNet(value, func() string { return newMAC(s.streams.next("mac %d %s", v.id, key)) }), nil
	case key == "tags":
		return normaliseTags(value), s.tagPerm(c.caller, v.id, v.conf["tags"], value)
	case key == "cipassword":
		return s.hashPassword(value), nil
	case key == "description":
		return strings.TrimRight(value, " \t\r\n"), nil
	case key == "vmgenid" && value == "1":
		return newUUID(s.streams.next("vmgenid %d", v.id)), nil
	case key == "machine":
		return value, checkMachine(value)
	case key == "ostype":
		if machine := pinned(v.conf["machine"], value); machine != "" && !slices.Contains(c.keys(), "machine") && v.pending["machine"] == "" {
			v.pending["machine"] = machine
		}
		return value, nil
	case key == "boot":
		if order := bootFormat.parse(value)["order"]; order != "" {
			// Replaces the letters of old versions.
			value = "order=" + strings.Join(splitList(order), ";")
		}
		return value, c.checkBoot(v, value)
	}
	return value, nil
}
