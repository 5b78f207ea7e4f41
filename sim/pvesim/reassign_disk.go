package pvesim

import (
	"cmp"
	"fmt"
	"strings"
)

// reassignment is the move of a disk from one VM to another, under a new name.
type reassignment struct {
	disk, as string
	from, to int
	// The digests that the two configurations must have, if given.
	digest, toDigest string
}

// reassignDisk moves a disk to another VM of the host, like the web interface. The
// volume is renamed.
func (s *Sim) reassignDisk(r *request) (any, error) {
	key := r.args.get("disk")
	m := reassignment{disk: key, as: cmp.Or(r.args.get("target-disk"), key), from: r.vmid(), to: r.args.number("target-vmid", 0),
		digest: r.args.get("digest"), toDigest: r.args.get("target-digest")}
	if err := s.needAny(r.caller, vmPath(m.to), "VM.Config.Disk"); err != nil {
		return nil, err
	}
	if m.from == m.to {
		return nil, badParam("target-vmid", "must be different than source VMID to reassign disk")
	}
	if err := s.checkReassignment(m); err != nil {
		return nil, err
	}
	storage, _, _ := parseDrive(s.vms[m.from].conf[key]).volume()
	if err := s.need(r.caller, "/storage/"+storage, "Datastore.AllocateSpace"); err != nil {
		return nil, err
	}
	return s.startTask(r, r.node(), "qmmove", fmt.Sprintf("%d-%s>%d-%s", m.from, m.disk, m.to, m.as), func(t *task) error {
		s.lock()
		defer s.unlock()
		for _, id := range []int{m.from, m.to} {
			if err := s.acquireVM(t.ctx, t.node, id); err != nil {
				return err
			}
			defer s.releaseVM(t.node, id)
		}
		if err := s.checkReassignment(m); err != nil {
			return err
		}
		if err := s.writable(s.vms[m.from], t.pid); err != nil {
			return err
		}
		s.reassign(t, m)
		return nil
	}), nil
}

// checkReassignment makes the checks that are repeated under the locks.
func (s *Sim) checkReassignment(m reassignment) error {
	from, to := s.vms[m.from], s.vms[m.to]
	switch {
	case from == nil:
		return die("could not find VM %d", m.from)
	case to == nil:
		return die("could not find target VM %d", m.to)
	case from.node != to.node:
		return die("Both VMs need to be on the same node (%s != %s)", from.node, to.node)
	case from.checkLock() != nil:
		return from.checkLock()
	case to.checkLock() != nil:
		return to.checkLock()
	case from.template() || to.template():
		return die("Can't move disks from or to template VMs")
	case m.digest != "" && m.digest != from.digest():
		return die("VM %d: detected modified configuration - file changed by other user? Try again.", m.from)
	case m.toDigest != "" && m.toDigest != to.digest():
		return die("VM %d: detected modified configuration - file changed by other user? Try again.", m.to)
	case from.conf[m.disk] == "":
		return die("Disk '%s' for VM '%d' does not exist", m.disk, m.from)
	case to.conf[m.as] != "":
		return die("Target disk key '%s' is already in use for VM '%d'", m.as, m.to)
	}
	return s.checkReassigned(from, m.disk)
}

func (s *Sim) checkReassigned(v *vm, key string) error {
	d := parseDrive(v.conf[key])
	_, vol := s.volumeOf(v.node, d)
	switch {
	case d.isCDROM() && !d.isCloudInit():
		return die("CD drive contents can't be moved to another VM")
	case vol == nil:
		return die("Volume '%s' not managed by PVE", d.file)
	case v.names(d.file, key):
		return die("Can't move disk used by a snapshot to another VM")
	case v.run != nil && !hasIndex(key, "unused"):
		return die("Cannot move disk to another VM while the source VM is running - detach first")
	}
	return nil
}

func (s *Sim) reassign(t *task, m reassignment) {
	from, to := s.vms[m.from], s.vms[m.to]
	t.note("reassign disk '%s' from VM '%d' as '%s' to VM '%d'", m.disk, m.from, m.as, m.to)
	d := parseDrive(from.conf[m.disk])
	st, vol := s.volumeOf(from.node, d)
	st.rename(vol, func() {
		name := fmt.Sprintf("vm-%d-disk-%d", m.to, st.freeDisk(m.to))
		if st.files() {
			name = fmt.Sprintf("%d/%s.%s", m.to, name, vol.format)
		}
		vol.name, vol.vmid, vol.parent = name, m.to, ""
	})
	d.file = st.volid(vol)
	if order, ok := strings.CutPrefix(from.conf["boot"], "order="); ok && strings.Contains(";"+order+";", ";"+m.disk+";") {
		t.note("removing disk '%s' from boot order config", m.disk)
		dropFromBoot(from.conf, m.disk)
	}
	delete(from.conf, m.disk)
	t.note("removing disk '%s' from VM '%d' config", m.disk, m.from)
	to.conf[m.as] = d.String()
	if hasIndex(m.as, "unused") {
		to.conf[m.as] = d.file
	} else {
		t.note("update VM %d: -%s %s", m.to, m.as, d)
	}
	s.changed(VMConfigured, from.node, m.from, "")
	s.changed(VMConfigured, to.node, m.to, "")
}
