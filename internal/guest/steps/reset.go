package steps

import (
	"strings"

	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/guest/action"
	"github.com/gpuworker/gpuworker/internal/guest/run"
)

// Reset lists what removes the traces of the bootstrap: its files, and the holds that it
// set. Packages stay installed, and so do the orders, which the bootstrap did not write.
func (m *Machine) Reset() []action.Action {
	var actions []action.Action
	if held := m.heldByUs(); len(held) > 0 {
		unhold := run.Command{Name: "apt-mark", Args: append([]string{"unhold"}, held...), Timeout: holdTimeout}
		actions = append(actions, action.Action{Verb: action.Run, Run: unhold, Why: "the bootstrap holds these packages"})
	}
	for _, f := range []struct{ file, why string }{
		{heldFile, "the list of them"},
		{nouveauFile, "keeps nouveau away"},
		{nvlinkFile, "turns NVLink off"},
		{updatesFile, "keeps automatic updates away from driver and kernel"},
		{pinFile, "pins the version of the driver"},
		{relative(guest.StatusFile), "the status of the bootstrap"},
		{relative(guest.LogFile), "its log"},
	} {
		if _, err := m.Tree.ReadFile(f.file); err == nil {
			actions = append(actions, action.Action{Verb: action.Remove, File: f.file, Why: f.why})
		}
	}
	if data, err := m.Tree.ReadFile(dnfFile); err == nil {
		ours := "# " + writtenBy + "\n" + dnfLine + "\n"
		if text := strings.Replace(string(data), ours, "", 1); text != string(data) {
			actions = append(actions, action.Action{Verb: action.Write, File: dnfFile, Data: []byte(text), Mode: publicMode, Why: "without the excludes of the bootstrap"})
		}
	}
	return actions
}
