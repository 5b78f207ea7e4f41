package steps

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/guest"
)

// After bootstrap and reset the guest differs from the one before only in what reset does
// not undo: packages, the initramfs, loaded modules.
func TestResetRemovesWhatBootstrapWrote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		before := map[string]string{}
		files := []string{nouveauFile, updatesFile, "etc/modules-load.d/gpuworker-nvidia.conf", "etc/apt/preferences.d/gpuworker-nvidia", heldFile, writtenFile, relative(guest.StatusFile), relative(guest.LogFile), relative(guest.OrdersFile), dnfFile}
		for _, name := range files {
			before[name] = s.read(name)
		}
		held := s.installed()["linux-image-"+kernel]
		if _, _, err := s.bootstrap(t); err != nil {
			t.Fatal(err)
		}
		actions := s.machine().Reset()
		for _, a := range actions {
			if err := a.Do(t.Context(), s, s); err != nil {
				t.Fatal(err)
			}
		}
		after := map[string]string{}
		for _, name := range files {
			after[name] = s.read(name)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Error(diff)
		}
		if got := s.installed()["linux-image-"+kernel]; got != held {
			t.Errorf("the kernel is %s", got)
		}
		if again := s.machine().Reset(); len(again) > 0 {
			t.Errorf("a second reset: %v", again)
		}
		// The orders are still there: the next bootstrap does it again.
		if status, _, err := s.bootstrap(t); err != nil || !status.Ready {
			t.Errorf("%v", err)
		}
	})
}

func TestTheExcludesOfDnfAreAddedAndRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		const conf = "[main]\ngpgcheck=1\n"
		s.tree.WriteFile("etc/os-release", []byte("ID=rocky\nID_LIKE=\"rhel\"\nVERSION_ID=\"9.6\"\n"))
		s.tree.WriteFile(dnfFile, []byte(conf))
		s.tree.WriteFile("etc/gpuworker/orders.json", []byte(`{"version":1,"program":"v","worker":"gpu-1","uuid":"`+vmUUID+`","driver":{"strategy":"Operator"},"gpu":{"id":"10de:1eb8"}}`))
		s.fails["dracut"], s.failing["dracut"] = "", 0
		if _, _, err := s.bootstrap(t); err != nil {
			t.Fatal(err)
		}
		if got := s.read(dnfFile); got != "[main]\n# "+writtenBy+"\n"+dnfLine+"\ngpgcheck=1\n" {
			t.Errorf("%q", got)
		}
		for _, a := range s.machine().Reset() {
			if err := a.Do(t.Context(), s, s); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.read(dnfFile); got != conf {
			t.Errorf("%q", got)
		}
	})
}
