package host

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The addresses of the cards, as assigned by the firmware.
const (
	card   = "0000:01:00.0"
	sound  = "0000:01:00.1"
	twin   = "0000:02:00.0"
	shared = "0000:04:01.0"
	nic    = "0000:04:02.0"
)

// none is the group of a function without one, in the output of gpuworker-host.
const noGroup = -1

// list is the part of "gpuworker-host list -o json" that the tests need.
type list struct {
	IOMMUs []string `json:"iommus"`
	Cards  []struct {
		Slot      string     `json:"slot"`
		Functions []function `json:"functions"`
		Mates     []string   `json:"mates"`
		Holders   []holder   `json:"holders"`
	} `json:"cards"`
	Unseen int `json:"unseenProcesses"`
}

type function struct {
	BDF       string `json:"bdf"`
	ID        string `json:"id"`
	Subsystem string `json:"subsystemID"`
	Class     int    `json:"class"`
	Driver    string `json:"driver"`
	Override  string `json:"override"`
	Group     int    `json:"group"`
	Path      string `json:"path"`
	NUMANode  int    `json:"numaNode"`
	BARs      []bar  `json:"bars"`
}

type bar struct {
	Index int    `json:"index"`
	Start uint64 `json:"start"`
	Size  uint64 `json:"size"`
}

type holder struct {
	PID  int    `json:"pid"`
	Name string `json:"name"`
}

func (g *guest) list(t *testing.T) list {
	t.Helper()
	r := g.tool(t, "list", "-o", "json")
	var l list
	if err := json.Unmarshal([]byte(r.Text), &l); err != nil || r.Code != 0 {
		t.Fatalf("list: exit %d, %v\n%s%s", r.Code, err, r.Text, r.Stderr)
	}
	return l
}

// function finds a function in the list.
func (l list) function(t *testing.T, bdf string) function {
	t.Helper()
	for _, c := range l.Cards {
		for _, f := range c.Functions {
			if f.BDF == bdf {
				return f
			}
		}
	}
	t.Fatalf("%s is not in the list: %+v", bdf, l)
	return function{}
}

const pciDevices = "/sys/bus/pci/devices/"

// ask reads the state of a function from the kernel itself.
func (g *guest) ask(t *testing.T, bdf string) function {
	t.Helper()
	dir := pciDevices + bdf + "/"
	pair := func(vendor, device string) string {
		return strings.TrimPrefix(g.read(t, dir+vendor), "0x") + ":" + strings.TrimPrefix(g.read(t, dir+device), "0x")
	}
	f := function{
		BDF: bdf, ID: pair("vendor", "device"), Subsystem: pair("subsystem_vendor", "subsystem_device"),
		Driver: g.leads(t, dir+"driver"), Override: strings.TrimSuffix(g.read(t, dir+"driver_override"), "(null)"), Group: noGroup,
	}
	class, err := strconv.ParseUint(g.read(t, dir+"class"), 0, 32)
	if err != nil {
		t.Fatal(err)
	}
	f.Class = int(class)
	if group := g.leads(t, dir+"iommu_group"); group != "" {
		if f.Group, err = strconv.Atoi(group); err != nil {
			t.Fatal(err)
		}
	}
	if f.NUMANode, err = strconv.Atoi(g.read(t, dir+"numa_node")); err != nil {
		t.Fatal(err)
	}
	_, f.Path, _ = strings.Cut(g.link(t, pciDevices+bdf), "/devices/")
	for i, line := range strings.Split(g.read(t, dir+"resource"), "\n") {
		var start, end, flags uint64
		if n, _ := fmt.Sscanf(line, "%v %v %v", &start, &end, &flags); n == 3 && end > start && i < 7 {
			f.BARs = append(f.BARs, bar{i, start, end - start + 1})
		}
	}
	return f
}

// mates returns the functions of other slots in a function's group, without bridges.
func (g *guest) mates(t *testing.T, bdf string) []string {
	t.Helper()
	mates := []string{}
	for _, other := range g.names(t, pciDevices+bdf+"/iommu_group/devices") {
		if slot(other) != slot(bdf) && !strings.HasPrefix(g.read(t, pciDevices+other+"/class"), "0x06") {
			mates = append(mates, other)
		}
	}
	return mates
}

func slot(bdf string) string { return bdf[:strings.LastIndexByte(bdf, '.')] }

// theListIsTheTruth compares the list with the kernel, function by function.
func theListIsTheTruth(t *testing.T, g *guest) {
	l := g.list(t)
	if want := g.names(t, "/sys/class/iommu"); !slices.Equal(l.IOMMUs, want) {
		t.Errorf("it lists the IOMMUs %q, the kernel has %q", l.IOMMUs, want)
	}
	var slots []string
	for _, c := range l.Cards {
		slots = append(slots, c.Slot)
		if want := g.mates(t, c.Functions[0].BDF); !slices.Equal(c.Mates, want) {
			t.Errorf("%s: in the list its group is shared with %q, in the kernel with %q", c.Slot, c.Mates, want)
		}
		if len(c.Holders) > 0 {
			t.Errorf("%s: the list has the holders %+v, but there are none", c.Slot, c.Holders)
		}
		for _, f := range c.Functions {
			if want := g.ask(t, f.BDF); fmt.Sprintf("%+v", f) != fmt.Sprintf("%+v", want) {
				t.Errorf("the list has\n%+v, the kernel has\n%+v", f, want)
			}
		}
	}
	if want := []string{slot(card), slot(twin), slot(shared)}; !slices.Equal(slots, want) {
		t.Errorf("it lists the cards %q, there are %q", slots, want)
	}
	if l.Unseen > 0 {
		t.Errorf("root cannot see the files of %d processes", l.Unseen)
	}
}

// theGroupsAreThoseOfTheBoard checks the assumptions of the other tests about the
// machine.
func theGroupsAreThoseOfTheBoard(t *testing.T, g *guest) {
	l := g.list(t)
	first, second, alone := l.function(t, card), l.function(t, sound), l.function(t, twin)
	switch {
	case first.Group == noGroup || first.Group != second.Group:
		t.Errorf("the functions of one card are in the groups %d and %d", first.Group, second.Group)
	case alone.Group == noGroup || alone.Group == first.Group:
		t.Errorf("the second card is in group %d, the first card in group %d", alone.Group, first.Group)
	}
	if first.Driver != "bochs-drm" || second.Driver != "snd_hda_intel" {
		t.Errorf("the card is on the drivers %q and %q", first.Driver, second.Driver)
	}
	if mates := g.mates(t, shared); !slices.Equal(mates, []string{nic}) {
		t.Errorf("the card behind the PCI bridge shares its group with %q", mates)
	}
	if text := g.tool(t, "list").Text; !strings.Contains(row(text, shared), nic) {
		t.Errorf("the table does not name the mate of %s:\n%s", shared, text)
	}
}

// nobodyHasAGroup checks a host whose IOMMU is off.
func nobodyHasAGroup(t *testing.T, g *guest) {
	l := g.list(t)
	if len(l.IOMMUs) > 0 {
		t.Errorf("it lists the IOMMUs %q", l.IOMMUs)
	}
	for _, bdf := range []string{card, sound, twin, shared} {
		if f := l.function(t, bdf); f.Group != noGroup {
			t.Errorf("%s is in group %d", bdf, f.Group)
		}
	}
	if text := g.tool(t, "list").Text; strings.Contains(text, "GROUP") {
		t.Errorf("the table has groups:\n%s", text)
	}
}

// row returns the line of a table that begins with this word.
func row(table, word string) string {
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, word) {
			return line
		}
	}
	return ""
}
