package driver

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// The table is compared with copies of its sources in testdata, from which it was not
// generated at build time: a wrong row in either is seen.

func lines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(data), "\n")
}

var pciidsLine = regexp.MustCompile(`^\t([0-9a-f]{4})  (\w+) \[(.*)\]$`)

// chips are the first letters of NVIDIA's chips by architecture.
var chips = map[string]Architecture{"GM": Maxwell, "GP": Pascal, "GV": Volta, "TU": Turing, "GA": Ampere, "AD": Ada, "GH": Hopper, "GB": Blackwell}

// sxmUnsaid are modules of SXM boards whose names in pci.ids do not say so. B200 is one in
// testdata/facts.md.
var sxmUnsaid = []string{"2901", "2324", "2329", "232c"}

func TestTheTableAgreesWithPCIIDs(t *testing.T) {
	seen := 0
	for _, line := range lines(t, "testdata/pci.ids") {
		m := pciidsLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		seen++
		id := pci.MustID("10de:" + m[1])
		gpu, ok := Lookup(id)
		if !ok {
			t.Errorf("%s %s is not in the table", id, m[3])
			continue
		}
		if gpu.ID != id || gpu.Chip != m[2] || gpu.Name != m[3] || gpu.Architecture != chips[m[2][:2]] {
			t.Errorf("%s is %s %s %s, but in pci.ids %s %s", id, gpu.Chip, gpu.Name, gpu.Architecture, m[2], m[3])
		}
		if want := strings.Contains(m[3], "SXM") || slices.Contains(sxmUnsaid, m[1]); gpu.SXM != want {
			t.Errorf("%s: SXM is %t, want %t", gpu, gpu.SXM, want)
		}
	}
	if rows := len(olderGPUs) + len(newerGPUs); seen != rows || seen < 200 || rows != len(table()) {
		t.Errorf("pci.ids has %d GPUs, the table has %d rows and %d different IDs", seen, rows, len(table()))
	}
}

var hexID = regexp.MustCompile(`\b[0-9a-f]{4}\b`)

func TestTheTableAgreesWithTheFacts(t *testing.T) {
	seen := 0
	for _, line := range lines(t, "testdata/facts.md") {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || strings.Contains(cells[1], "GPU") || strings.Contains(cells[1], "---") {
			continue
		}
		ids, _, _ := strings.Cut(cells[2], "(")
		for _, text := range hexID.FindAllString(ids, -1) {
			seen++
			gpu, ok := Lookup(pci.MustID("10de:" + text))
			if !ok {
				t.Errorf("%s of %s is not in the table", text, cells[1])
				continue
			}
			if arch := strings.TrimSpace(cells[3]); arch != "" && !slices.Contains(strings.Split(arch, "/"), string(gpu.Architecture)) {
				t.Errorf("%s is %s, but the facts say %s", gpu, gpu.Architecture, arch)
			}
			checkFactsBranches(t, gpu, cells[4])
		}
	}
	if seen != 25 {
		t.Errorf("the facts have %d IDs, want 25", seen)
	}
}

// checkFactsBranches compares what works with the last column of the facts.
func checkFactsBranches(t *testing.T, gpu GPU, words string) {
	t.Helper()
	var want support
	switch {
	case strings.Contains(words, "proprietary flavour only; last branch **R580**"):
		want = support{proprietary: true, last: 580}
	case strings.Contains(words, "open modules required"), strings.Contains(words, "Blackwell") && gpu.Chip == "GB202":
		want = support{open: true}
	case strings.Contains(words, "all current"), strings.Contains(words, "Blackwell"): // the row of the RTX cards
		want = support{open: true, proprietary: true}
	default:
		t.Fatalf("the test does not understand %q", words)
	}
	got := support{open: gpu.Architecture.Supports(Open), proprietary: gpu.Architecture.Supports(Proprietary), last: gpu.Last}
	if got != want {
		t.Errorf("%s: %+v, but the facts say %+v", gpu, got, want)
	}
}

func TestTheBranchesAgreeWithNVIDIAsTables(t *testing.T) {
	rows := map[string][]string{}
	for _, line := range lines(t, "testdata/branches.md") {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows[cells[1]] = cells[2 : len(cells)-1]
		}
	}
	for _, b := range Branches() {
		row, listed := rows[b.String()]
		delete(rows, b.String())
		switch {
		case listed && (!strings.EqualFold(strings.ReplaceAll(b.Kind, "-", " "), row[0]) || b.EndOfLife != row[1]):
			t.Errorf("%s is %s until %s, but NVIDIA says %v", b, b.Kind, b.EndOfLife, row)
		case !listed && b.EndOfLife != "":
			t.Errorf("%s: NVIDIA names no end of life", b)
		}
		if b.EndOfLife != "" && b.Ended != before(t, b.EndOfLife, TableDate) {
			t.Errorf("%s: ended is %t, with its end in %s and the table of %s", b, b.Ended, b.EndOfLife, TableDate)
		}
	}
	for architecture, s := range supports {
		want := "Ongoing"
		if s.last > 0 {
			want = "R" + strconv.Itoa(s.last)
		}
		if row := rows[string(architecture)]; len(row) == 0 || row[0] != want {
			t.Errorf("%s: last branch %s, but NVIDIA says %v", architecture, want, row)
		}
		delete(rows, string(architecture))
	}
	delete(rows, "branch")
	delete(rows, "architecture")
	delete(rows, "---")
	if len(rows) > 0 {
		t.Errorf("not in the table: %v", rows)
	}
}

var months = []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}

// before compares months such as "June 2026".
func before(t *testing.T, a, b string) bool {
	t.Helper()
	number := func(text string) int {
		month, year, _ := strings.Cut(text, " ")
		n, err := strconv.Atoi(year)
		if i := slices.Index(months, month); err == nil && i >= 0 {
			return n*12 + i
		}
		t.Fatalf("%q is not a month", text)
		return 0
	}
	return number(a) < number(b)
}
