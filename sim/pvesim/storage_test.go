package pvesim

import (
	"strings"
	"testing"
)

func TestAnISOIsUploadedSeenAndDeleted(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine, root := sim.as(t, engineToken), sim.asRoot(t, rootPass)
		const sha = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
		log := engine.done(uploadTo(engine, "/nodes/pve1/storage/local/upload", "seed.iso", "hello\n",
			"content", "iso", "checksum", sha, "checksum-algorithm", "sha256"), "OK")
		if log[1] != "calculating checksum...OK, checksum verified" || log[len(log)-2] != "finished file import successfully" {
			t.Errorf("log: %q", log)
		}
		volume := sim.State().Volumes["pve1/local:iso/seed.iso"]
		if volume.Size != 6 || volume.Host != "pve1" {
			t.Errorf("the volume is %+v", volume)
		}
		if got := engine.do("GET", "/nodes/pve2/storage/local/content").list(); len(got) != 0 {
			t.Errorf("another host sees %v on its own storage", got)
		}
		engine.do("DELETE", "/nodes/pve1/storage/local/content/local:iso/seed.iso").refused(403, "Permission check failed (/storage/local, Datastore.Allocate)")
		root.done(root.do("DELETE", "/nodes/pve1/storage/local/content/local:iso/seed.iso"), "OK")
		if _, there := sim.State().Volumes["pve1/local:iso/seed.iso"]; there {
			t.Error("the volume is still there")
		}
		// Deleting what is gone is fine.
		root.done(root.do("DELETE", "/nodes/pve1/storage/local/content/iso/seed.iso"), "OK")
	})
}

func TestUploadsAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		storage, file string
		fields        []string
		check         func(*reply)
	}{
		"with another extension": {"local", "x.txt", []string{"content", "iso"}, func(r *reply) {
			if r.errors["filename"] != "wrong file extension" {
				r.t.Errorf("errors: %v", r.errors)
			}
		}},
		"to a storage for disks":       {"local-lvm", "x.iso", []string{"content", "iso"}, func(r *reply) { r.refused(500, "can't upload to storage type 'lvmthin'") }},
		"to a storage that is missing": {"nope", "x.iso", []string{"content", "iso"}, func(r *reply) { r.refused(500, "storage 'nope' does not exist") }},
		"with a checksum of no kind": {"local", "x.iso", []string{"content", "iso", "checksum", "00"}, func(r *reply) {
			if r.errors["checksum-algorithm"] != "missing property required by 'checksum'" {
				r.t.Errorf("errors: %v", r.errors)
			}
		}},
		"with a field that it does not have": {"local", "x.iso", []string{"content", "iso", "bogus", "1"}, func(r *reply) {
			if r.refused(400, "Bad Request"); r.body != "" {
				r.t.Errorf("body %s", r.body)
			}
		}},
		"with unknown content": {"local", "x.iso", []string{"content", "snippets"}, func(r *reply) {
			if text, _ := r.errors["content"].(string); !strings.Contains(text, "does not have a value in the enumeration") {
				r.t.Errorf("errors: %v", r.errors)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T) {
				sim := newSim(t, homelab(t))
				tc.check(uploadTo(sim.asRoot(t, rootPass), "/nodes/pve1/storage/"+tc.storage+"/upload", tc.file, "hello\n", tc.fields...))
				for id := range sim.State().Volumes {
					if strings.Contains(id, "iso/x") {
						t.Errorf("there is %s", id)
					}
				}
			})
		})
	}
}

func TestAWrongChecksumFailsInTheTask(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		root.done(uploadTo(root, "/nodes/pve1/storage/local/upload", "x.iso", "hello\n", "content", "iso", "checksum", "00", "checksum-algorithm", "md5"),
			"checksum mismatch: got 'b1946ac92492d2347c6235b4d2611184' != expect '00'")
		if _, there := sim.State().Volumes["pve1/local:iso/x.iso"]; there {
			t.Error("the volume is there all the same")
		}
	})
}

func TestAnUploadNeedsItsPrivilegeButNoCSRFToken(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		audit := sim.as(t, auditToken)
		got := uploadTo(audit, "/nodes/pve1/storage/local/upload", "x.iso", "x", "content", "iso").refused(403, "Permission check failed (/storage/local, Datastore.AllocateTemplate)")
		if got.body != "" {
			t.Errorf("this 403 has a body: %s", got.body)
		}
		root := sim.asRoot(t, rootPass)
		root.header.Del("CSRFPreventionToken")
		root.done(uploadTo(root, "/nodes/pve1/storage/local/upload", "x.iso", "x", "content", "iso"), "OK")
	})
}

func TestStoragesAreListedForThoseWhoMaySeeThem(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, w, _ := furnished(t)
		names := func(c *client, query ...string) string {
			var out []string
			for _, entry := range c.do("GET", "/nodes/pve1/storage", query...).list() {
				out = append(out, entry.(map[string]any)["storage"].(string))
			}
			return strings.Join(out, " ")
		}
		for name, tc := range map[string]struct {
			who   string
			query []string
			want  string
		}{
			"all":            {"ops@pve!ci", nil, "local images nas isos off"},
			"for ISO images": {"ops@pve!ci", []string{"content", "iso"}, "local nas isos"},
			"enabled ones":   {"ops@pve!ci", []string{"content", "images", "enabled", "1"}, "images nas"},
			"one":            {"scoped@pve!tk", nil, "images"},
			"none":           {"none@pve!tk", nil, ""},
		} {
			if got := names(sim.as(t, token(t, w, tc.who)), tc.query...); got != tc.want {
				t.Errorf("%s: %s sees %q, want %q", name, tc.who, got, tc.want)
			}
		}
	})
}
