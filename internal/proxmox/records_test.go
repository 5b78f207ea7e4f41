package proxmox

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/pve"
)

// unreadable are records that are not valid here, by the reason.
var unreadable = map[string]string{
	"of a newer program": "gpuworker: v=2 worker=gpu-1 pool=gpu cluster=rke2 vmid=9101 uuid=0b7dd7b9-8a51-4a38-8ef2-2f3f5c1f4a10 made",
	"damaged":            "gpuworker: worker=gpu-1%20%3B%20touch%20x pool=gpu cluster=rke2 vmid=9101 host=pve1 card=0000%3A03%3A00 made",
}

// TestARegisterWithAnUnreadableRecordIsNeverWritten, and its card counts as claimed.
func TestARegisterWithAnUnreadableRecordIsNeverWritten(t *testing.T) {
	for name, line := range unreadable {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, root, r, card := guarded(t)
				ctx, register := context.Background(), registerName(card.Ref)
				was, err := root.Mapping(ctx, register)
				must(t, err)
				must(t, root.UpdateMapping(ctx, pve.MappingUpdate{ID: register, Digest: was.Digest, Map: was.Map, Description: line}))

				if err := b.Claim(ctx, r, r); !fault.Is(err, fault.Exists) || !strings.Contains(err.Error(), register) {
					t.Errorf("a claim ends with %v", err)
				}
				if err := b.Attach(ctx, r, card); err == nil {
					t.Error("the card was attached")
				}
				must(t, b.Release(ctx, r, card.Ref)) // not ours: nothing to do

				is, err := root.Mapping(ctx, register)
				must(t, err)
				if is.Description != line {
					t.Errorf("the register says %q now", is.Description)
				}
				s, err := b.Observe(ctx, hypervisor.Scope{Cards: true})
				must(t, err)
				if claim := s.Claim(card.Ref); claim == nil || claim.Problem == "" || claim.Register != register {
					t.Errorf("the card does not count as taken: %+v", claim)
				}
			})
		})
	}
}

// TestAVMWithAnUnreadableRecordIsNeverWritten by any method that changes a VM.
func TestAVMWithAnUnreadableRecordIsNeverWritten(t *testing.T) {
	for name, line := range unreadable {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, root, r, _ := guarded(t)
				ctx, ref := context.Background(), refOf(r)
				must(t, root.UpdateConfig(ctx, "pve1", number(r.VM), pve.ConfigUpdate{Set: map[string]string{"description": line}}))
				was, err := root.Pending(ctx, "pve1", number(r.VM))
				must(t, err)
				for what, do := range map[string]func() error{
					"configure": func() error { return b.Configure(ctx, r, gpuMachine()) },
					"adopt":     func() error { return b.Adopt(ctx, ref, r) },
					"start":     func() error { return b.Start(ctx, ref) },
					"park":      func() error { return b.SetParked(ctx, ref, true) },
					"unprotect": func() error { return b.Unprotect(ctx, ref) },
					"destroy":   func() error { return b.Destroy(ctx, ref) },
				} {
					if err := do(); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "its record") {
						t.Errorf("%s ends with %v", what, err)
					}
				}
				is, err := root.Pending(ctx, "pve1", number(r.VM))
				must(t, err)
				if is.Digest != was.Digest {
					t.Error("the configuration was changed")
				}
			})
		})
	}
}

// TestKeysOfANewerProgramAreKept: each write keeps keys and flags that this program
// does not know.
func TestKeysOfANewerProgramAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, root, r, card := guarded(t)
		ctx, register := context.Background(), registerName(card.Ref)
		const added, flag = "gpu-uuid=GPU-1%2F2", "proven"
		was, err := root.Mapping(ctx, register)
		must(t, err)
		must(t, root.UpdateMapping(ctx, pve.MappingUpdate{ID: register, Digest: was.Digest, Map: was.Map, Description: was.Description + " " + added + " " + flag}))
		must(t, root.UpdateConfig(ctx, "pve1", number(r.VM), pve.ConfigUpdate{Set: map[string]string{"description": note(r, "") + " " + added + " " + flag}}))

		next := r
		next.Labels = "zone=a"
		desired := gpuMachine()
		desired.DiskMiB, desired.Guest.SSHKeys = 0, nil
		must(t, b.Claim(ctx, next, r))
		must(t, b.Configure(ctx, next, desired))
		next.Replaced = "5e0f0000-0000-4000-8000-000000000001"
		must(t, b.Adopt(ctx, refOf(next), next))

		is, err := root.Mapping(ctx, register)
		must(t, err)
		if !strings.Contains(is.Description, added) || !strings.Contains(is.Description, flag) || !strings.Contains(is.Description, "zone") {
			t.Errorf("the register says %q", is.Description)
		}
		config, err := root.Pending(ctx, "pve1", number(r.VM))
		must(t, err)
		if text := nextOptions(config)["description"]; !strings.Contains(text, added) || !strings.Contains(text, flag) || !strings.Contains(text, "zone") || !strings.Contains(text, "replaced=") {
			t.Errorf("the note says %q", text)
		}
	})
}
