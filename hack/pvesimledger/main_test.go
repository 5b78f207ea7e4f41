package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

func TestTheLedgerInTheDocsIsUpToDate(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", page))
	if err != nil {
		t.Fatal(err)
	}
	want, err := replace(string(text), section(pvesim.Ledger()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("%s is not up to date, run `make docs` (-code +page):\n%s", page, diff)
	}
}

func TestACallWithoutRecordingsIsNotReportedAsChecked(t *testing.T) {
	got := section([]pvesim.Entry{
		{Method: "GET", Path: "/a", Declared: true, Implemented: true, Checked: 3},
		{Method: "PUT", Path: "/a", Declared: true, Implemented: true},
		{Method: "GET", Path: "/b", Implemented: true, Checked: 1},
		{Method: "GET", Path: "/c", Declared: true},
	})
	for _, want := range []string{
		"pvesim simulates 3 calls: 2 of the 3 that Proxmox VE 9.1 declares and that clients of VMs use, and 1 others.\n" +
			"2 of them gave the same answers as a real server in recorded exchanges (4 in all). 1 are based only on documentation and source code.\n",
		"| `GET /a` | yes | 3 recorded exchanges |\n", "| `PUT /a` | yes | documentation and source code |\n",
		"| `GET /b` | yes | 1 recorded exchange |\n", "with 501:\n\n* `GET /c`\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestAPageWithoutMarksIsNotChanged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	for _, text := range []string{"no marks", end + begin, begin} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		err := update(file)
		after, _ := os.ReadFile(file)
		if err == nil || string(after) != text {
			t.Errorf("%q became %q, %v", text, after, err)
		}
	}
	if err := os.WriteFile(file, []byte("a\n"+begin+"old\n"+end+"\nb"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := update(file); err != nil {
		t.Fatal(err)
	}
	after, _ := os.ReadFile(file)
	if strings.Contains(string(after), "old") || !strings.HasPrefix(string(after), "a\n"+begin) || !strings.HasSuffix(string(after), end+"\nb") {
		t.Errorf("got %s", after)
	}
}
