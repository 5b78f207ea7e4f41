package proxmox

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

var (
	roleLine  = regexp.MustCompile(`(?m)^role (\S+) '?([^'\n]+)'?$`)
	grantLine = regexp.MustCompile(`(?m)^grant (\S+) (\S+)$`)
)

// applyRole replaces all rights of the cluster by those that the printed commands grant.
func applyRole(w *pvesim.World, commands string) {
	w.ACL, w.Roles = nil, map[string][]string{}
	for _, m := range roleLine.FindAllStringSubmatch(commands, -1) {
		w.Roles[m[1]] = strings.Fields(m[2])
	}
	for _, m := range grantLine.FindAllStringSubmatch(commands, -1) {
		for _, who := range []string{roleUser, roleUser + "!" + roleToken} {
			w.ACL = append(w.ACL, pvesim.ACL{Path: m[1], Subject: who, Role: m[2]})
		}
	}
}

var roleScope = hypervisor.Scope{Storages: []string{"local-lvm"}, Bridges: []string{"vmbr0", "vmbr1"}, Cards: true, UseSeeds: true, Guests: true}

// TestEachPrivilegeIsNeeded removes each privilege from the printed roles in turn.
// Exactly this one must be reported as missing, and a call must fail without it, unless
// it is listed in onlyForSeeing.
func TestEachPrivilegeIsNeeded(t *testing.T) {
	needed := slices.DeleteFunc((&Backend{}).rights("9.1.4", roleScope), func(r right) bool { return r.optional })
	for _, r := range needed {
		t.Run(r.privilege, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := world(t)
				applyRole(&w, (&Backend{}).Role("9.1.4", roleScope))
				for role, privileges := range w.Roles {
					w.Roles[role] = slices.DeleteFunc(slices.Clone(privileges), func(p string) bool { return p == r.privilege })
				}
				missing, err := life(t, w)
				var want []inventory.Right
				for _, n := range needed {
					if n.privilege == r.privilege {
						want = append(want, inventory.Right{Privilege: n.privilege, Path: n.path, For: n.reason, Stops: n.stops})
					}
				}
				if !slices.Equal(missing, want) {
					t.Errorf("missing %v, want %v", missing, want)
				}
				t.Logf("life without it: %v", err)
				if err == nil && r.stops != inventory.StopsNothing && !onlyForSeeing[r.privilege] {
					t.Errorf("everything works without it, so it is not needed")
				}
			})
		})
	}
}

// onlyForSeeing are privileges without which all calls succeed but show less. The plan
// refuses what it cannot see.
var onlyForSeeing = map[string]bool{"Datastore.Audit": true, "Mapping.Audit": true}

// life goes through a worker's life with the engine's token.
func life(t *testing.T, w pvesim.World) (missing []inventory.Right, err error) {
	sim, err := pvesim.New(w, pvesim.WithLog(func(string, ...any) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	return live(open(t, sim, tokenOf(t, w, "gpuworker@pve!engine")))
}

func setSeed(ctx context.Context, b driver, ref inventory.VMRef, clean bool) error {
	return of(ctx, ref, func(ctx context.Context, ref inventory.VMRef, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return b.SetSeed(ctx, ref, hypervisor.Seed{Clean: clean, Image: image("seed")}, h)
	})
}

// live makes a GPU worker and deletes it.
func live(b driver) (missing []inventory.Right, err error) {
	ctx := context.Background()
	s, err := b.Observe(ctx, roleScope)
	if err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	if len(s.Host("pve1").Devices) == 0 {
		return s.Missing, fmt.Errorf("no devices: %v", s.Host("pve1").Gaps)
	}
	r := gpuRecord()
	ref := refOf(r)
	desired := gpuMachine()
	desired.DiskMiB, desired.MemoryMiB = 20*1024, 4096
	desired.Guest.SSHKeys = []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFnAjZjg2HBkjA959g2Ns2WMo/o6CkMaEYy1MEMEDafg ops@desk"}
	card := inventory.Card{Ref: pci.MustCardRef("pve1/0000:03:00.0"), PCIe: true, ROMBar: true}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"claim", func() error { return b.Claim(ctx, r, inventory.Record{}) }},
		{"clone", func() error {
			return b.Clone(ctx, order(r))
		}},
		{"configure", func() error { return b.Configure(ctx, r, desired) }},
		{"attach", func() error { return b.Attach(ctx, r, card) }},
		{"seed", func() error { return setSeed(ctx, b, ref, false) }},
		{"start", func() error { return b.Start(ctx, ref) }},
		{"agent", func() error { _, err := b.Agent(ctx, ref); return err }},
		{"write", func() error { return b.WriteGuest(ctx, ref, "/tmp/x", nil) }},
		{"read", func() error { _, err := b.ReadGuest(ctx, ref, "/tmp/x", 10); return err }},
		{"run", func() error {
			return of(ctx, ref, func(ctx context.Context, ref inventory.VMRef, h hypervisor.Handle) (*hypervisor.Wait, error) {
				_, wait, err := b.RunInGuest(ctx, ref, []string{"true"}, h)
				return wait, err
			})
		}},
		{"exchange", func() error { return setSeed(ctx, b, ref, true) }},
		{"park", func() error { return b.SetParked(ctx, ref, true) }},
		{"unprotect", func() error { return b.Unprotect(ctx, ref) }},
		{"stop", func() error { return b.Stop(ctx, ref) }},
		{"unseed", func() error {
			return of(ctx, ref, func(ctx context.Context, ref inventory.VMRef, h hypervisor.Handle) (*hypervisor.Wait, error) {
				return b.RemoveSeeds(ctx, ref, image("blank"), h)
			})
		}},
		{"destroy", func() error { return b.Destroy(ctx, ref) }},
		{"release", func() error { return b.Release(ctx, r, card.Ref) }},
	} {
		if err := step.do(); err != nil {
			return s.Missing, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return s.Missing, nil
}

// The optional privilege is granted by removing one character.
func TestAnOptionalPrivilegeIsOneCharacterAway(t *testing.T) {
	script := role("9.1.4", roleScope)
	w := world(t)
	applyRole(&w, script)
	granted := func() bool {
		for _, privileges := range w.Roles {
			if slices.Contains(privileges, "Datastore.Allocate") {
				return true
			}
		}
		return false
	}
	if granted() {
		t.Error("it is granted without being asked for")
	}
	applyRole(&w, strings.ReplaceAll(script, "\n#role ", "\nrole "))
	if !granted() {
		t.Errorf("it is not granted:\n%s", script)
	}
	if plain := role("9.1.4", hypervisor.Scope{Storages: []string{"local-lvm"}}); strings.Contains(plain, "optional") || strings.Contains(plain, "Unrestricted") || strings.Contains(plain, "CDROM") {
		t.Errorf("without seeds and guests:\n%s", plain)
	}
	if old := role("8.4", roleScope); strings.Contains(old, "GuestAgent") || strings.Count(old, "VM.Monitor ") > 2 {
		t.Errorf("for version 8:\n%s", old)
	}
}
