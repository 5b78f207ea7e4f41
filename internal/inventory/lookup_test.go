package inventory

import (
	"slices"
	"testing"
)

func TestIdentifiersAreInTheOrderThatAPersonExpects(t *testing.T) {
	ids := []string{"vm-9", "1000", "204", "", "vm-10", "100"}
	slices.SortFunc(ids, CompareIDs)
	if want := []string{"", "100", "204", "1000", "vm-9", "vm-10"}; !slices.Equal(ids, want) {
		t.Errorf("%q, want %q", ids, want)
	}
}

func TestAVMIsFoundByItsIdentifierAlone(t *testing.T) {
	s := &Snapshot{VMs: []VM{{ID: "vm-1042", Name: "204"}, {ID: "204", Name: "web"}}} // in no order
	for id, name := range map[string]string{"204": "web", "vm-1042": "204"} {
		if vm := s.VM(id); vm == nil || vm.Name != name {
			t.Errorf("%s: %+v, want %s", id, vm, name)
		}
	}
	if vm := s.VM(""); vm != nil {
		t.Errorf("no identifier: %+v", vm)
	}
	s.VMs = append(s.VMs, VM{ID: "205"})
	if s.VM("205") == nil {
		t.Error("a VM that was added is not found")
	}
}
