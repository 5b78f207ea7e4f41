package steps

import (
	"path"
	"strings"

	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/guest/action"
	"github.com/gpuworker/gpuworker/internal/guest/run"
)

// Reset lists what removes the traces of the bootstrap: its files, and the holds that it
// set. Packages stay installed, and so do the orders, which the bootstrap did not write.
func (m *Machine) Reset() []action.Action {
	var actions []action.Action
	if held := m.remembered(heldFile); len(held) > 0 {
		unhold := run.Command{Name: "apt-mark", Args: append([]string{"unhold"}, held...), Timeout: holdTimeout}
		actions = append(actions, action.Action{Verb: action.Run, Run: unhold, Why: "the bootstrap holds these packages"})
	}
	for _, name := range m.remembered(writtenFile) {
		if !isConfiguration(name) {
			continue // a damaged list must not remove other files
		}
		if _, err := m.Tree.ReadFile(name); err == nil {
			actions = append(actions, action.Action{Verb: action.Remove, File: name, Why: "the bootstrap wrote it"})
		}
	}
	for _, f := range []struct{ file, why string }{
		{heldFile, "the list of held packages"},
		{writtenFile, "the list of written files"},
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

// isConfiguration reports whether a file is one that the bootstrap may have written.
func isConfiguration(name string) bool {
	return path.Clean(name) == name && strings.HasPrefix(name, "etc/") && strings.Contains(path.Base(name), "gpuworker")
}
