package inventory_test

import (
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/shell"
)

func TestEachRemedyHasWordsThatFitEveryHypervisor(t *testing.T) {
	remedies, err := inventorytest.Remedies("advice.go")
	if err != nil {
		t.Fatal(err)
	}
	about := inventory.Subject{Host: "pve1", VM: "vm-1042", Name: "gpu-1", Key: "card0", Storage: "fast", Content: "images", To: "pve2"}
	seen := map[inventory.Remedy]bool{}
	for _, remedy := range remedies {
		words := (&inventory.Snapshot{}).Advise(remedy, about)
		if len(strings.Fields(words)) < 2 || strings.ContainsAny(words, "{}") {
			t.Errorf("%q says %q", remedy, words)
		}
		if seen[remedy] { // a backend could not tell the two apart
			t.Errorf("two remedies are %q", remedy)
		}
		seen[remedy] = true
	}
}

func TestABackendsOwnWordsAreUsedFirst(t *testing.T) {
	s := &inventory.Snapshot{Advice: inventory.Advice{inventory.MakeTemplate: "convert {vm} on {host}"}}
	if got, want := s.AdviseVM(inventory.MakeTemplate, &inventory.VM{Host: "pve1", ID: "204"}), "convert 204 on pve1"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := s.AdviseVM(inventory.GiveUUID, &inventory.VM{Host: "pve1", ID: "204"}), "give it a UUID"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Names come from hypervisors. Each part of the subject becomes one word of a shell, or
// no command is shown.
func TestThePartsOfARemedyAreHarmlessInAShell(t *testing.T) {
	all := inventory.Advice{inventory.GiveNameBack: "do {host} {vm} {name} {key} {storage} {content} {to}"}
	plain := inventory.Subject{Host: "pve1", VM: "204", Name: "gpu-1", Key: "card0", Storage: "fast", Content: "iso,images", To: "pve2"}
	parts := map[string]func(*inventory.Subject) *string{
		"pve1": func(s *inventory.Subject) *string { return &s.Host }, "204": func(s *inventory.Subject) *string { return &s.VM },
		"gpu-1": func(s *inventory.Subject) *string { return &s.Name }, "card0": func(s *inventory.Subject) *string { return &s.Key },
		"fast": func(s *inventory.Subject) *string { return &s.Storage }, "iso,images": func(s *inventory.Subject) *string { return &s.Content },
		"pve2": func(s *inventory.Subject) *string { return &s.To },
	}
	const command = "do pve1 204 gpu-1 card0 fast iso,images pve2"
	s := &inventory.Snapshot{Advice: all}
	if got := s.Advise(inventory.GiveNameBack, plain); got != command {
		t.Fatalf("%q, want %q", got, command)
	}
	for part, field := range parts {
		for name, want := range map[string]string{
			"a; reboot":                              strings.Replace(command, part, "'a; reboot'", 1),
			"it's":                                   strings.Replace(command, part, `'it'\''s'`, 1),
			"{vm} and {to}":                          strings.Replace(command, part, "'{vm} and {to}'", 1), // is not filled in a second time
			"":                                       strings.Replace(command, part, "''", 1),
			"--force":                                shell.Untypable,
			"a\x1b[2J":                               shell.Untypable,
			"a\nreboot":                              shell.Untypable,
			"\xff":                                   shell.Untypable,
			strings.Repeat("a", shell.MaxArgument+1): shell.Untypable,
		} {
			about := plain
			*field(&about) = name
			if got := s.Advise(inventory.GiveNameBack, about); got != want {
				t.Errorf("%s is %q: %q, want %q", part, name, got, want)
			}
		}
	}
}

func TestAnUnusedPartIsNotQuoted(t *testing.T) {
	s := &inventory.Snapshot{Advice: inventory.Advice{inventory.ActivateStorage: "list the storages"}}
	if got, want := s.Advise(inventory.ActivateStorage, inventory.Subject{Host: "--help", VM: "\x1b"}), "list the storages"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
