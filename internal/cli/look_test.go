package cli

import (
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/golden"
	"github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// findings returns findings with each verdict.
func findings() []finding.Finding {
	return []finding.Finding{
		{ID: finding.APIVersion, Verdict: finding.Pass, Layer: finding.LayerAPI, Reason: "Proxmox VE 9.1.4 is supported"},
		{ID: finding.HostOffline, Verdict: finding.Pass, Layer: finding.LayerHost, Where: fault.Place{Host: "pve1"}, Reason: "is online"},
		{ID: finding.HostIOMMUOff, Verdict: finding.Fail, Layer: finding.LayerHost, Where: fault.Place{Host: "pve3"}, Reason: "the IOMMU is off, so no card of this host can go into a VM", Fix: "switch VT-d or AMD-Vi on in the firmware of pve3, then reboot it"},
		{ID: finding.HostDriver, Verdict: finding.Unknown, Layer: finding.LayerCard, Where: fault.Place{Host: "pve1", Card: pci.MustBDF("0000:03:00.0")}, Reason: "the Proxmox API does not show which kernel driver holds the card", Fix: "on pve1: lspci -nnk -s 0000:03:00.0 should say vfio-pci or nothing"},
		{ID: finding.MappingStale, Verdict: finding.Info, Layer: finding.LayerCard, Where: fault.Place{Host: "pve2"}, Reason: "the mapping will be renewed"},
	}
}

func TestReadOnlyCommands(t *testing.T) {
	cases := []struct {
		name     string // golden file
		args     []string
		terminal bool
		code     int
	}{
		{"hosts.txt", []string{"hosts"}, false, fault.ExitOK},
		{"hosts.json", []string{"hosts", "-o", "json"}, false, fault.ExitOK},
		{"gpus.txt", []string{"gpus"}, false, fault.ExitOK},
		{"gpus-in-colour-at-100-columns.txt", []string{"gpus"}, true, fault.ExitOK},
		{"gpus.yaml", []string{"gpus", "-o", "yaml"}, false, fault.ExitOK},
		{"check.txt", []string{"check"}, false, fault.ExitCheck},
		{"check-verbose-at-100-columns.txt", []string{"check", "--verbose", "--color", "never"}, true, fault.ExitCheck},
		{"check.json", []string{"check", "-o", "json"}, false, fault.ExitCheck},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			command := &typed{engine: &fakeEngine{world: homelab(), found: findings()}, terminal: c.terminal}
			command.run(t, append(c.args, "-f", lab)...).wants(t, c.code)
			if command.err != "" {
				t.Errorf("standard error: %s", command.err)
			}
			golden.Compare(t, "testdata/"+c.name, command.out)
		})
	}
}

func TestACheckWithoutFailuresExitsWithZero(t *testing.T) {
	c := &typed{engine: &fakeEngine{world: homelab(), found: findings()[3:]}}
	c.run(t, "check", "-f", lab).wants(t, fault.ExitOK).asked(t, "check")
	if !strings.Contains(c.out, "? ") || !strings.Contains(strings.Join(strings.Fields(c.out), " "), "Unknown means that it could not be checked: it has not passed, and does not change the exit code") {
		t.Errorf("it does not say what unknown means:\n%s", c.out)
	}
	if !strings.Contains(c.out, "0 failed, 1 unknown") {
		t.Errorf("the unknown is not told:\n%s", c.out)
	}
}

func TestAHostWhoseCardsCannotBeReadIsUnknownAndNotEmpty(t *testing.T) {
	world := inventorytest.Observed(inventorytest.Host("pve1", inventorytest.T4("0000:03:00")).Blind("PCI devices", "no answer within 10s"))
	c := (&typed{engine: &fakeEngine{world: world}}).run(t, "gpus", "-f", lab).wants(t, fault.ExitOK)
	if !strings.Contains(c.out, "unknown: no answer within 10s") {
		t.Errorf("out:\n%s", c.out)
	}
	c = (&typed{engine: &fakeEngine{world: world}}).run(t, "hosts", "-f", lab)
	if !strings.Contains(c.out, "? pve1: PCI devices: no answer within 10s") {
		t.Errorf("out:\n%s", c.out)
	}
}

func TestACardIsUnknownWhileAVMOfItsHostCannotBeRead(t *testing.T) {
	world := inventorytest.Observed(
		inventorytest.Host("pve1", inventorytest.T4("0000:03:00")),
		inventorytest.VM(110, "nas", "pve1").Unreadable("403"),
	)
	c := (&typed{engine: &fakeEngine{world: world}}).run(t, "gpus", "-f", lab)
	if !strings.Contains(c.out, "unknown: VM 110 may hold it and cannot be read") {
		t.Errorf("out:\n%s", c.out)
	}
}
