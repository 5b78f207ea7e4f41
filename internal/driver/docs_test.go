package driver

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// docs/drivers.md repeats the tables of this package for operators.
func TestTheDocsAgreeWithTheTables(t *testing.T) {
	data, err := os.ReadFile("../../docs/drivers.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	expect := func(text string) {
		t.Helper()
		if !strings.Contains(page, text) {
			t.Errorf("docs/drivers.md does not say %q", text)
		}
	}
	expect("as of " + TableDate)
	for _, b := range branches {
		end := "no end is published"
		switch {
		case b.Ended && b.EndOfLife != "":
			end = "ended in " + b.EndOfLife
		case b.Ended:
			end = "ended"
		case b.EndOfLife != "":
			end = "until " + b.EndOfLife
		}
		packages := map[ubuntuState]string{ubuntuUnknown: "not known", ubuntuHas: "yes", ubuntuDummy: "empty", ubuntuOpenOnly: "open modules only"}[b.ubuntu]
		if b.ubuntuNext > 0 {
			packages += fmt.Sprintf(", install %d", b.ubuntuNext)
		}
		expect(fmt.Sprintf("| %d | %s | %s | %s |", b.Number, b.Kind, end, packages))
	}
	for architecture, s := range supports {
		row := rowWith(page, string(architecture))
		cells := strings.Split(row, "|")
		if len(cells) != 7 {
			t.Errorf("%s has no row", architecture)
			continue
		}
		modules := strings.TrimSpace(cells[2])
		if strings.Contains(modules, "Open") != s.open || strings.Contains(modules, "Proprietary") != s.proprietary {
			t.Errorf("%s: modules %q, but open %t, proprietary %t", architecture, modules, s.open, s.proprietary)
		}
		if strings.Contains(cells[3], fmt.Sprint(s.first)) != (s.first > 0) || strings.Contains(cells[4], fmt.Sprint(s.last)) != (s.last > 0) {
			t.Errorf("%s: first %q and last %q, want %d and %d", architecture, cells[3], cells[4], s.first, s.last)
		}
		if strings.Contains(cells[5], "-open") != s.open {
			t.Errorf("%s: default %q", architecture, cells[5])
		}
	}
	for _, s := range []Strategy{Preinstalled, Packages, Operator, Ansible, None} {
		expect("| " + string(s) + " |")
	}
	in, err := ubuntuInstall(Order{Branch: "BRANCH", Open: true}, "KERNEL")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(in.Packages, toolkit) {
		expect("`" + name + "`")
	}
}

func rowWith(page, word string) string {
	for line := range strings.Lines(page) {
		if first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), "|"); strings.HasPrefix(line, "| ") && strings.Contains(first, word) {
			return line
		}
	}
	return ""
}
