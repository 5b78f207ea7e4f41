package capture

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// recordedCalls are the reads of a capture of which there are recordings.
var recordedCalls = map[*regexp.Regexp]any{
	regexp.MustCompile(`^/version$`):                            apiVersion{},
	regexp.MustCompile(`^/nodes$`):                              []apiNode{},
	regexp.MustCompile(`^/cluster/resources\?type=vm$`):         []apiGuest{},
	regexp.MustCompile(`^/nodes/\w+/qemu$`):                     []apiGuest{},
	regexp.MustCompile(`^/nodes/\w+/qemu/\d+/pending$`):         []apiPending{},
	regexp.MustCompile(`^/nodes/\w+/status$`):                   apiHostStatus{},
	regexp.MustCompile(`^/nodes/\w+/network(\?|$)`):             []apiInterface{},
	regexp.MustCompile(`^/nodes/\w+/hardware/pci(\?|$)`):        []apiPCI{},
	regexp.MustCompile(`^/storage$`):                            []apiStorage{},
	regexp.MustCompile(`^/nodes/\w+/storage(\?|$)`):             []apiHostStorage{},
	regexp.MustCompile(`^/nodes/\w+/storage/\w+/content(\?|$)`): []apiVolume{},
	regexp.MustCompile(`^/cluster/mapping/pci(\?|$)`):           []apiMapping{},
	regexp.MustCompile(`^/pools$`):                              []apiPool{},
	regexp.MustCompile(`^/access/users(\?|$)`):                  []apiUser{},
	regexp.MustCompile(`^/access/acl$`):                         []apiACL{},
	regexp.MustCompile(`^/access/permissions(\?|$)`):            permissions{},
}

type recorded struct {
	Exchanges []struct {
		Request  struct{ Method, Path string }
		Response struct {
			Status int
			Body   json.RawMessage
		}
	}
}

// What a real Proxmox VE answered can be read. The recordings are no part of
// this repository; see docs/pvesim.md.
func TestRecordedAnswersAreUnderstood(t *testing.T) {
	folder := os.Getenv("PVE_RECORDINGS")
	if folder == "" {
		t.Skip("NOT JUDGED: PVE_RECORDINGS does not name the directory of the recordings")
	}
	files, err := filepath.Glob(filepath.Join(folder, "scenarios", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings in %s: %v", folder, err)
	}
	understood := map[*regexp.Regexp]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var scenario recorded
		if err := json.Unmarshal(data, &scenario); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, e := range scenario.Exchanges {
			if e.Request.Method != "GET" || e.Response.Status != 200 || strings.Contains(string(e.Response.Body), `"data": "<ignored>"`) {
				continue
			}
			for form, kind := range recordedCalls {
				if !form.MatchString(e.Request.Path) {
					continue
				}
				understood[form] = true
				if err := (&client{}).decode(e.Request.Path, e.Response.Body, reflect.New(reflect.TypeOf(kind)).Interface()); err != nil {
					t.Errorf("%s: %v", filepath.Base(file), err)
				}
			}
		}
	}
	if len(understood) != len(recordedCalls) {
		t.Errorf("there are recordings of %d of %d calls", len(understood), len(recordedCalls))
	}
}
