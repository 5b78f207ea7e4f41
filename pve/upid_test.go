package pve

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestUPIDsAreParsed(t *testing.T) {
	tests := []struct {
		in, node, typ, id string
		vmid              int
	}{
		{"UPID:pve1:0009E3A5:0BB5C3F1:68E4F1A2:qmstart:101:root@pam:", "pve1", "qmstart", "101", 101},
		{"UPID:pve-2:0009E3A5:10BB5C3F1:68E4F1A2:qmclone:9000:ops@pve!ci:", "pve-2", "qmclone", "9000", 9000},
		{"UPID:pve1:0009e3a5:0bb5c3f1:68e4f1a2:imgcopy::root@pam:", "pve1", "imgcopy", "", 0},
		{"UPID:pve1:0009E3A5:0BB5C3F1:68E4F1A2:imgdel:380@images:root@pam:", "pve1", "imgdel", "380@images", 0},
	}
	for _, tt := range tests {
		u, err := ParseUPID(tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		if u.Node != tt.node || u.Type != tt.typ || u.ID != tt.id || u.VMID() != tt.vmid {
			t.Errorf("%s: %+v", tt.in, u)
		}
		if u.String() != tt.in {
			t.Errorf("%s: %s", tt.in, u)
		}
	}
}

func TestOtherTextsAreNotUPIDs(t *testing.T) {
	for _, in := range []string{
		"", "OK", "UPID:", "UPID:pve1:1:2:3:qmstart:101:root@pam:",
		"UPID:pve1:0009E3A5:0BB5C3F1:68E4F1A2:qmstart:101:root@pam",
		"UPID:pve1:0009E3A5:0BB5C3F1:68E4F1A2:qmstart:101:root@pam:\n",
		"UPID:../x:0009E3A5:0BB5C3F1:68E4F1A2:qmstart:101:root@pam:",
		"UPID:pve1:0009E3A5:0BB5C3F1:68E4F1A2::101:root@pam:",
		"UPID:pve1:0009E3AG:0BB5C3F1:68E4F1A2:qmstart:101:root@pam:",
		strings.Repeat("ü", 1000),
	} {
		if u, err := ParseUPID(in); err == nil || !u.IsZero() {
			t.Errorf("%q: %+v", in, u)
		} else if len(err.Error()) > 600 {
			t.Errorf("the error repeats %d bytes", len(err.Error()))
		}
	}
}

func TestUPIDsAreStoredAsText(t *testing.T) {
	type state struct {
		Task UPID `json:"task"`
		None UPID `json:"none"`
	}
	in := state{Task: mustUPID(testUPID)}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"task":"` + testUPID + `","none":""}`; string(b) != want {
		t.Errorf("got %s", b)
	}
	var out state
	if err := json.Unmarshal(b, &out); err != nil || out != in {
		t.Errorf("%+v, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"task":"nonsense"}`), &out); err == nil {
		t.Error("nonsense was taken")
	}
}

func TestUPIDsAreDescribedForPeople(t *testing.T) {
	for in, want := range map[string]string{
		testUPID: "qmstart of VM 101 on pve1",
		"UPID:pve1:0009E3A5:0BB5C3F1:68E4F1A2:imgcopy::root@pam:":          "imgcopy on pve1",
		"UPID:pve1:0009E3A5:0BB5C3F1:68E4F1A2:imgdel:380@images:root@pam:": "imgdel of 380@images on pve1",
	} {
		if got := mustUPID(in).what(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzUPID(f *testing.F) {
	f.Add(testUPID)
	f.Add("UPID:pve1:0009E3A5:10BB5C3F1:68E4F1A2:imgdel:380@images:root@pam:")
	f.Add("UPID:::::::")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseUPID(s)
		if err != nil {
			if !u.IsZero() {
				t.Fatalf("%q: an error and %+v", s, u)
			}
			return
		}
		if u.String() != s || u.Node == "" || u.Type == "" || u.VMID() < 0 {
			t.Fatalf("%q: %+v", s, u)
		}
		if strings.ContainsAny(u.Node+u.Type+u.ID, ": /\n") && !strings.ContainsAny(u.Type+u.ID, "/") {
			t.Fatalf("%q: %+v", s, u)
		}
		again, err := ParseUPID(u.String())
		if err != nil || again != u {
			t.Fatalf("%q: %+v, %v", s, again, err)
		}
	})
}
