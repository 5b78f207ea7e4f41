package pvesim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// copyDrives makes the clone's drives, one after another; made gets what it
// has made so far.
func (s *Sim) copyDrives(t *task, c *cloning, made map[string]string) error {
	linked := false
	for _, key := range slices.Sorted(maps.Keys(c.conf)) {
		d := parseDrive(c.conf[key])
		if !isDrive(key) || d.isCDROM() && !d.isCloudInit() {
			continue
		}
		copied, wait, err := s.copyDrive(t, c, key, d)
		if err != nil {
			return err
		}
		if copied != "" {
			made[key] = copied
		}
		linked = linked || wait == 0
		if err := t.sleep(wait); err != nil {
			return err
		}
	}
	if linked || len(made) == 0 {
		return t.sleep(s.timings.CloneLinked)
	}
	return nil
}

// copyDrive makes one drive and says how long copying its content takes.
func (s *Sim) copyDrive(t *task, c *cloning, key string, d drive) (value string, wait Duration, err error) {
	s.lock()
	defer s.unlock()
	from, vol := s.volumeOf(c.source.node, d)
	if vol == nil {
		return "", 0, die("volume '%s' does not exist", d.file)
	}
	cloudInit := d.isCloudInit()
	if !c.full && !cloudInit {
		return s.linkDrive(t, c, key, d, from, vol)
	}
	to := from
	if c.full && c.storage != "" {
		to = s.storages[c.storage]
	}
	if to, err = s.storageOn(c.target.node, to.Name); err != nil {
		return "", 0, err
	}
	format, name := cmp.Or(c.format, vol.format), ""
	if cloudInit {
		format, name = "qcow2", fmt.Sprintf("vm-%d-cloudinit", c.target.id)
	}
	t.note("create full clone of drive %s (%s)", key, d.file)
	copied, err := s.allocate(to, c.target.node, c.target.id, name, format, vol.size)
	if err != nil {
		return "", 0, err
	}
	t.note("%s", to.formatLine(copied, nil))
	t.note("allocated target volume '%s'", to.volid(copied))
	d.file = to.volid(copied)
	d.props["size"] = formatSize(copied.size)
	if cloudInit || key == "efidisk0" || key == "tpmstate0" {
		return d.String(), 1, nil
	}
	t.note("transferred 0.0 B of %s", formatSize(copied.size))
	return d.String(), s.copyTime(copied.size, c.bwlimit), nil
}

// copyTime is how long a disk takes to be copied, with a limit in KiB/s.
func (s *Sim) copyTime(size int64, limit int) Duration {
	wait := Duration(float64(s.timings.CloneFullGiB) * float64(size) / float64(gib))
	if limit > 0 {
		wait = max(wait, Duration(size/(int64(limit)*kib))*Duration(time.Second))
	}
	return max(wait, s.timings.CloneFullMin)
}

func (s *Sim) linkDrive(t *task, c *cloning, key string, d drive, st *storage, base *volume) (string, Duration, error) {
	t.note("create linked clone of drive %s (%s)", key, d.file)
	linked, err := s.allocate(st, c.target.node, c.target.id, "", "qcow2", base.size)
	if err != nil {
		return "", 0, err
	}
	linked.parent = base.name
	if st.files() {
		short := linked.name[len(fmt.Sprint(c.target.id))+1:]
		t.note("clone %s: images, %s, %d to %s (base=../%s)", base.name, short, c.target.id, short, base.name)
	}
	t.note("%s", st.formatLine(linked, base))
	d.file = st.volid(linked)
	d.props["size"] = formatSize(linked.size)
	return d.String(), 0, nil
}
