package pvesim

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// oddValues are values that a careless or hostile client may send for any parameter.
var oddValues = []string{"", " ", "0", "1", "-1", "99", "100", "120", "999999999999999999999", "1.5", "x", "nope", "ünï", "\x00", "a,b=c;d", "=", ",,", ":",
	"local", "local-lvm", "local-lvm:1", "local-lvm:cloudinit", "none", "none,media=cdrom", "virtio", "order=;", "mapping=vdi-t4", "0000:03:00.0", "uuid=",
	"scsi0", "hostpci0", "unused0", "unused999999999999", "pve1", "pve9", "+1G", "1T", strings.Repeat("x", 5000)}

// TestNoCallFallsOverOddValues sends each odd value for each parameter of each call. No
// call may panic, and clients must be able to read each answer.
func TestNoCallFallsOverOddValues(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.Timings = &Timings{}
		sim := newSim(t, world)
		root := sim.asRoot(t, rootPass)
		sent := 0
		for _, c := range table(sim.major) {
			params := merge(c.params, pathSpecs(segments(c.path)))
			for _, name := range slices.Sorted(maps.Keys(params)) {
				if base, i, ok := splitIndex(name); ok && i > 0 && base != "hostpci" {
					continue // one of a kind will do
				}
				for _, value := range oddValues {
					path, fields := oddRequest(c, name, value)
					got := root.do(c.method, path, fields...)
					if got.err != nil || got.code == 0 || got.reason == "" {
						t.Fatalf("%s %s %.80q: %d %q %v", c.method, path, fields, got.code, got.reason, got.err)
					}
					sent++
				}
			}
		}
		if sent < 10000 {
			t.Errorf("only %d requests were sent", sent)
		}
		sim.State()
	})
}

// oddRequest is a call with one odd value; most of the other parameters are valid.
func oddRequest(c call, odd, value string) (path string, fields []string) {
	fitting := map[string]string{"node": "pve1", "vmid": "100", "storage": "local", "id": "vdi-t4", "upid": "x", "volume": "iso/x.iso", "newid": "130",
		"map": t4pve1, "disk": "scsi0", "size": "+1G", "snapname": "s1", "command": "true", "file": "/x", "content": "iso", "pid": "1", "type": "user",
		"username": "root@pam", "password": rootPass, "idlist": "unused0", "feature": "clone", "filename": "x.raw", "iface": "vmbr0"}
	for _, part := range segments(c.path) {
		name := strings.TrimSuffix(strings.Trim(part, "{}"), "...")
		switch {
		case !strings.HasPrefix(part, "{"):
			path += "/" + part
		case name == odd:
			path += "/" + url.PathEscape(value)
		default:
			path += "/" + url.PathEscape(fitting[name])
		}
	}
	for name, s := range c.params {
		if name == odd {
			fields = append(fields, name, value)
		} else if s.required {
			fields = append(fields, name, fitting[name])
		}
	}
	return path, fields
}
