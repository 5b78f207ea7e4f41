package pvesim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// atOnce is the duration of a copy that takes no time. Linking is different: it takes
// CloneLinked for all drives together.
const atOnce = Duration(1)

// copyDrives creates the clone's drives, one after another, and adds them to made.
// After each one it writes the configuration again: after the first one, this has the
// clone's name, and always only the drives that are ready.
func (s *Sim) copyDrives(t *task, c *cloning, made map[string]string) error {
	drives := map[string]drive{}
	for key, value := range c.conf {
		if d := parseDrive(value); isDrive(key) && (!d.isCDROM() || d.isCloudInit()) {
			drives[key] = d
		}
	}
	linked := false
	for _, key := range slices.Sorted(maps.Keys(drives)) {
		wait, err := s.copyDrive(t, c, key, drives[key], made)
		linked = linked || wait == 0
		if err == nil {
			err = s.transfer(t, wait, made[key])
		}
		if err == nil && wait > atOnce && s.fullForCopy(c, made[key]) {
			err = t.outOfSpace(s, c, made[key])
		}
		if err != nil {
			return err
		}
		if err := s.writable(c.target, t.pid); err != nil {
			return err
		}
		s.writeSoFar(c, drives, made)
	}
	if linked || len(made) == 0 {
		return s.pause(t, s.timings.CloneLinked)
	}
	return nil
}

// transfer waits for the time of a copy, and logs its progress like qemu-img convert
// -p, but at most once a second.
func (s *Sim) transfer(t *task, wait Duration, value string) error {
	if wait <= atOnce {
		return s.pause(t, wait)
	}
	size := parseSize(parseDrive(value).props["size"])
	whole := jitter(t.rng, wait)
	parts := min(100, max(1, int(time.Duration(wait)/time.Second)))
	t.note("transferred 0.0 B of %s (0.00%%)", renderBytes(size))
	for part := 1; part <= parts; part++ {
		if err := s.pauseExactly(t, whole/Duration(parts)); err != nil {
			return err
		}
		percent := 100 * float64(part) / float64(parts)
		t.note("transferred %s of %s (%.2f%%)", renderBytes(int64(float64(size)*percent/100)), renderBytes(size), percent)
	}
	return nil
}

// renderBytes formats a size with one decimal: "1.2 GiB".
func renderBytes(bytes int64) string {
	size, units := float64(bytes), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for size >= 1024 && len(units) > 1 {
		size, units = size/1024, units[1:]
	}
	return fmt.Sprintf("%.1f %s", size, units[0])
}

// writeSoFar writes the configuration of a clone in progress.
func (s *Sim) writeSoFar(c *cloning, drives map[string]drive, made map[string]string) {
	conf := maps.Clone(c.conf)
	for key := range drives {
		delete(conf, key)
	}
	maps.Copy(conf, made)
	conf["lock"] = "clone"
	c.target.conf = conf
	s.changed(VMConfigured, c.target.node, c.target.id, "")
}

// fullForCopy reports whether the copy of a disk no longer fits: files grow while
// they are written.
func (s *Sim) fullForCopy(c *cloning, value string) bool {
	st, vol := s.volumeOf(c.target.node, parseDrive(value))
	return vol != nil && st.full(c.target.node, 0)
}

// outOfSpace is the error of a copy to a full storage.
func (t *task) outOfSpace(s *Sim, c *cloning, value string) error {
	st, vol := s.volumeOf(c.target.node, parseDrive(value))
	t.note("qemu-img: error while writing at byte %d: No space left on device", vol.size/2)
	return die("copy failed: command '/usr/bin/qemu-img convert -p -n -f raw -O %s %s' failed: exit code 1", vol.format, st.path(vol))
}

// copyDrive creates one drive and returns how long copying its content takes.
func (s *Sim) copyDrive(t *task, c *cloning, key string, d drive, made map[string]string) (wait Duration, err error) {
	from, vol := s.volumeOf(c.source.node, d)
	if vol == nil {
		return 0, die("volume '%s' does not exist", d.file)
	}
	cloudInit := d.isCloudInit()
	if !c.full && !cloudInit {
		return 0, s.linkDrive(t, c, key, d, from, vol, made)
	}
	to := from
	if c.full && c.storage != "" {
		to = s.storages[c.storage]
	}
	if to, err = s.activeStorage(c.target.node, to.Name); err != nil {
		return 0, err
	}
	format, name := cmp.Or(c.format, vol.format), ""
	if cloudInit {
		format, name = cmp.Or(c.format, "qcow2"), fmt.Sprintf("vm-%d-cloudinit", c.target.id)
	}
	t.note("create full clone of drive %s (%s)", key, d.file)
	size := vol.size
	if c.snapshot != "" && d.props["size"] != "" {
		size = parseSize(d.props["size"])
	}
	copied, err := s.allocateClone(t, to, c, name, format, size)
	if err != nil {
		return 0, err
	}
	t.note("%s", to.formatLine(copied, nil))
	t.note("allocated target volume '%s'", to.volid(copied))
	d.file = to.volid(copied)
	d.props["size"] = formatSize(copied.size)
	made[key] = d.String()
	if cloudInit || key == "efidisk0" || key == "tpmstate0" {
		return atOnce, nil
	}
	return s.copyTime(copied.size, c.bwlimit), nil
}

// allocateClone is allocate with the fault of a storage lock that times out.
func (s *Sim) allocateClone(t *task, st *storage, c *cloning, name, format string, size int64) (*volume, error) {
	if t.fault != nil && t.fault.Effect == StorageLockTimeout {
		if err := s.pause(t, s.timings.StorageLock); err != nil {
			return nil, err
		}
		return nil, die("%s", t.fault.text(st.lockOf(c.target.node).timeout().Error()))
	}
	return s.allocate(t.ctx, st, c.target.node, c.target.id, name, format, size)
}

// copyTime is how long a disk takes to be copied, with a limit in KiB/s.
func (s *Sim) copyTime(size int64, limit int) Duration {
	wait := Duration(float64(s.timings.CloneFullGiB) * float64(size) / float64(gib))
	if limit > 0 {
		wait = max(wait, Duration(size/(int64(limit)*kib))*Duration(time.Second))
	}
	return max(wait, s.timings.CloneFullMin)
}

func (s *Sim) linkDrive(t *task, c *cloning, key string, d drive, st *storage, base *volume, made map[string]string) error {
	t.note("create linked clone of drive %s (%s)", key, d.file)
	linked, err := s.allocateClone(t, st, c, "", "qcow2", base.size)
	if err != nil {
		return err
	}
	st.rename(linked, func() { linked.parent = base.name })
	if st.files() {
		short := linked.name[len(fmt.Sprint(c.target.id))+1:]
		_, whole, _ := d.volume()
		t.note("clone %s: images, %s, %d to %s (base=../%s)", whole, short, c.target.id, short, base.name)
	}
	t.note("%s", st.formatLine(linked, base))
	d.file = st.volid(linked)
	d.props["size"] = formatSize(linked.size)
	made[key] = d.String()
	return nil
}
