package engine_test

import (
	"context"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/proxmox"
)

// TestDocumentsOfOneEndpointGetOneLogin: the printed commands revoke all other
// privileges, so two scripts for one endpoint would undo each other.
func TestDocumentsOfOneEndpointGetOneLogin(t *testing.T) {
	second := strings.NewReplacer(
		"metadata: {name: lab}", "metadata: {name: deep}", "vmids: {first: 9100, last: 9199}", "vmids: {first: 9200, last: 9299}\n    resourcePool: deep",
	)
	pool := "---\n" + strings.NewReplacer("{name: plain}", "{name: deep}", "hypervisor: lab", "hypervisor: deep", "memory: 2Gi", "memory: 2Gi, disk: {storage: ceph}").Replace(duo[len(header):])
	deep := second.Replace(header[:strings.Index(header, "---\n")])
	other := strings.NewReplacer("name: deep}", "name: far}", "pve1:8006", "far:8006").Replace(deep)
	e := openEngine(decode(t, duo+"---\n"+deep+pool+"---\n"+other), "", func(h *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
		return proxmox.Open(h, proxmox.Login{Token: "nobody@pve!none=1"})
	})
	text, err := e.Role(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	scripts := strings.Split(text, "\n{\n")
	if len(scripts) != 3 {
		t.Fatalf("%d scripts, want one for each of two clusters:\n%s", len(scripts)-1, text)
	}
	for _, line := range []string{"pool deep\n", "grant /vms GpuWorkerVms\n", "grant /pool/deep GpuWorkerPool\n", "grant /storage GpuWorkerStorage\n", "grant /storage/ceph GpuWorkerStorage\n"} {
		if !strings.Contains(scripts[1], line) {
			t.Errorf("no %q in\n%s", line, scripts[1])
		}
	}
}
