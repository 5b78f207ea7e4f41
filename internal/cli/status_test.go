package cli

import (
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/golden"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/status"
)

func rows() []status.Row {
	return []status.Row{
		{
			Pool: "gpu-workers", KubeCluster: "rke2-lab", Lifecycle: "SemiPersistent", Worker: "gpu-workers-1", State: status.Running,
			Host: "pve1", Card: pci.MustCardRef("pve1/0000:03:00.0"), Model: "Tesla T4", VM: "9101", Addresses: []string{"192.0.2.21"},
			Conditions: []status.Condition{
				{Type: status.Declared, Status: status.True, Reason: "InDocuments"},
				{Type: status.Claimed, Status: status.True, Reason: "Claimed", Message: "register gpu-pve1-0000-03-00"},
				{Type: status.Powered, Status: status.True, Reason: "VMRunning"},
				{Type: status.AgentReady, Status: status.Unknown, Reason: "NotAsked"},
				{Type: status.AsDeclared, Status: status.False, Reason: "Hold", Message: "machine.cores: 4 → 6"},
			},
		},
		{
			Pool: "gpu-workers", Worker: "gpu-workers-2", State: status.Running, Host: "pve2", Card: pci.MustCardRef("pve2/0000:03:00.0"), Model: "Tesla T4", VM: "9102",
			Note: "machine.cores: 4 → 6 (stop/start)", Next: "gpuworker apply --allow-restart",
		},
		{Pool: "gpu-workers", Worker: "gpu-workers-3", State: status.Refused, Note: "no free Tesla T4 (CARD-NO-MATCH)", Next: "gpuworker plan"},
		{Pool: "workers", Worker: "workers-1", State: status.Missing, Note: "not made yet", Next: "gpuworker apply"},
		{Pool: "workers", Worker: "workers-2", State: status.Missing, Note: "not made yet", Next: "gpuworker apply"},
	}
}

func TestStatus(t *testing.T) {
	cases := []struct {
		name string // golden file
		args []string
		wide bool
	}{
		{"status.txt", nil, false},
		{"status-at-100-columns.txt", []string{"--color", "never"}, true},
		{"status-of-one.txt", []string{"gpu-workers-1"}, false},
		{"status.json", []string{"-o", "json", "gpu-workers-3"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			command := (&typed{engine: &fakeEngine{rows: rows()}, terminal: c.wide}).run(t, append([]string{"status", "-f", lab}, c.args...)...)
			command.wants(t, fault.ExitOK).asked(t, "status")
			golden.Compare(t, "testdata/"+c.name, command.out)
		})
	}
}

func TestStatusWithoutWorkers(t *testing.T) {
	c := (&typed{engine: &fakeEngine{rows: rows()}}).run(t, "status", "workers-9", "-f", lab).wants(t, fault.ExitInvalid)
	if c.out != "" {
		t.Errorf("out: %q", c.out)
	}
	c = (&typed{engine: &fakeEngine{}}).run(t, "status", "-f", lab).wants(t, fault.ExitOK)
	if c.out != "No worker is declared, and none exists.\n" {
		t.Errorf("out: %q", c.out)
	}
	c = (&typed{engine: &fakeEngine{}}).run(t, "status", "-f", lab, "-o", "json").wants(t, fault.ExitOK)
	if c.out != "{\n  \"workers\": [],\n  \"warnings\": []\n}\n" {
		t.Errorf("out: %q", c.out)
	}
}
