package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/document"
)

// loadPools loads pools on testdata/lab.yaml and on a second hypervisor and
// cluster.
func loadPools(t *testing.T, pools ...string) error {
	t.Helper()
	const more = `apiVersion: gpuworker.io/v1alpha1
kind: Hypervisor
metadata: {name: other}
spec: {proxmox: {endpoint: "https://pve9.example.org:8006", credentials: {token: {env: T}}}}
---
apiVersion: gpuworker.io/v1alpha1
kind: KubeCluster
metadata: {name: edge}
spec: {server: "https://edge.example.org:9345"}
`
	_, _, err := document.Load(lab(t), document.File{Name: "more.yaml", Data: []byte(more)}, document.File{Name: "pools.yaml", Data: []byte(strings.Join(pools, "---\n"))})
	return err
}

func TestAnAddressMayBeUsedAgainInAnotherNetwork(t *testing.T) {
	pool := func(name, hypervisor, kubeCluster, bridge string, vlan int) string {
		text := poolText(name, fmt.Sprintf(`
  replicas: 1
  networks: [{name: %s, vlan: %d, addresses: [192.0.2.21/24], gateway: 192.0.2.1}]
`, bridge, vlan))
		text = strings.Replace(text, "hypervisor: lab", "hypervisor: "+hypervisor, 1)
		return strings.Replace(text, "kubeCluster: rke2", "kubeCluster: "+kubeCluster, 1)
	}
	first := pool("a", "lab", "rke2", "vmbr0", 10)
	for name, test := range map[string]struct {
		second  string
		refused bool
	}{
		"the same network":                         {pool("b", "lab", "edge", "vmbr0", 10), true},
		"the same network, by default":             {pool("b", "lab", "edge", `""`, 10), true},
		"the same cluster over another network":    {pool("b", "lab", "rke2", "vmbr1", 10), true},
		"the same cluster over another hypervisor": {pool("b", "other", "rke2", "vmbr0", 10), true},
		"another VLAN and another cluster":         {pool("b", "lab", "edge", "vmbr0", 11), false},
		"another bridge and another cluster":       {pool("b", "lab", "edge", "vmbr1", 10), false},
		"another hypervisor and another cluster":   {pool("b", "other", "edge", "vmbr0", 10), false},
	} {
		t.Run(name, func(t *testing.T) {
			err := loadPools(t, first, test.second)
			if refused := err != nil && strings.Contains(err.Error(), "is already used; see WorkerPool/a spec.networks[0].addresses[0] (pools.yaml:11)"); refused != test.refused {
				t.Errorf("refused is %t, want %t: %v", refused, test.refused, err)
			}
		})
	}
}

func TestOneAddressOfCardMayBeOnTwoHosts(t *testing.T) {
	pool := func(name, hypervisor, host string) string {
		text := poolText(name, fmt.Sprintf("  gpus: [{host: %s, bdf: \"0000:03:00.0\"}]\n", host))
		return strings.Replace(text, "hypervisor: lab", "hypervisor: "+hypervisor, 1)
	}
	for name, test := range map[string]struct {
		second  string
		refused bool
	}{
		"on the same host":      {pool("b", "lab", "pve1"), true},
		"on another host":       {pool("b", "lab", "pve2"), false},
		"on another hypervisor": {pool("b", "other", "pve1"), false},
	} {
		t.Run(name, func(t *testing.T) {
			err := loadPools(t, pool("a", "lab", "pve1"), test.second)
			if refused := err != nil && strings.Contains(err.Error(), "is already used; one card is for one worker; see WorkerPool/a spec.gpus[0] (pools.yaml:10)"); refused != test.refused {
				t.Errorf("refused is %t, want %t: %v", refused, test.refused, err)
			}
		})
	}
}

func TestTheNumberOfWorkersIsThatOfCardsOrReplicas(t *testing.T) {
	for spec, want := range map[string]int{
		"replicas: 0": 0,
		"replicas: 7": 7,
		`gpus: [{host: pve1, bdf: "0000:03:00.0"}]`:                              1,
		`gpus: [{model: T4, count: 3}]`:                                          3,
		`gpus: [{model: T4}]`:                                                    1,
		`gpus: [{host: pve1, bdf: "0000:03:00.0"}, {id: "10de:1eb8", count: 2}]`: 3,
	} {
		d, _, err := document.Load(lab(t), document.File{Name: "a.yaml", Data: []byte(poolText("gpu", "  "+spec+"\n"))})
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		if got := d.WorkerPools[0].Size(); got != want {
			t.Errorf("%s: %d workers, want %d", spec, got, want)
		}
	}
}

func TestAPoolWithoutCardsIgnoresTheOptionsOfCards(t *testing.T) {
	const options = "  machine: {firmware: BIOS}\n  proxmox: {machineType: I440FX, xVGA: true, pcie: true}\n"
	_, warnings, err := document.Load(lab(t), document.File{Name: "a.yaml", Data: []byte(poolText("plain", "  replicas: 1\n"+options))})
	if err != nil || len(warnings) > 0 {
		t.Errorf("warnings %v, error %v", warnings, err)
	}
	if _, _, err = document.Load(lab(t), document.File{Name: "a.yaml", Data: []byte(poolText("gpu", "  gpus: [{model: T4}]\n"+options))}); err == nil {
		t.Error("a pool with cards does not care about them either")
	}
}

func TestTheLongestAllowedNameIsAccepted(t *testing.T) {
	name := strings.Repeat("a", 61)
	if err := loadPools(t, poolText(name, "  replicas: 9\n")); err != nil {
		t.Errorf("63 characters with the number: %v", err)
	}
	if err := loadPools(t, poolText(name, "  replicas: 10\n")); err == nil || !strings.Contains(err.Error(), "make it 1 shorter") {
		t.Errorf("64 characters with the number: %v", err)
	}
}

// Validate does not report the zero value of a field that could not be read.
func TestOneErrorIsOneProblem(t *testing.T) {
	for _, spec := range []string{
		"hypervsior: lab\n  replicas: 1",     // not: hypervisor is missing
		"hypervisor: [lab]\n  replicas: 1",   // likewise
		"replicas: -x",                       // not: no replicas
		"replicsa: 3",                        // likewise
		"gpus: [{host: pve1, bfd: 03:00.0}]", // not: bdf is missing
		"replicas: 1\n  networks: [{addresses: [192.0.2.4/24], gatway: 192.0.2.1}]",
	} {
		text := poolText("gpu", "  "+spec+"\n")
		if strings.HasPrefix(spec, "hyp") {
			text = strings.Replace(text, "  hypervisor: lab\n", "", 1)
		}
		err := loadPools(t, text)
		if problems, _ := err.(document.Problems); len(problems) != 1 {
			t.Errorf("%s: want one problem, got %v", spec, err)
		}
	}
	// A problem in one document says nothing about the next.
	err := loadPools(t, poolText("a", "  replicas: x\n"), poolText("b", "  replicas: -1\n"))
	if problems, _ := err.(document.Problems); len(problems) != 2 {
		t.Errorf("want two problems, got %v", err)
	}
	// A document that cannot be recognised may be the one that is referred to.
	_, _, err = document.Load(lab(t), document.File{Name: "a.yaml", Data: []byte(strings.Replace(poolText("gpu", "  replicas: 1\n"), "hypervisor: lab", "hypervisor: b", 1) +
		"---\napiVersion: gpuworker.io/v1alpha1\nkind: Hypervisor\nmetadata: {nmae: b}\nspec: {proxmox: {endpoint: \"https://b:8006\", credentials: {token: {env: T}}}}\n")})
	if problems, _ := err.(document.Problems); len(problems) != 1 {
		t.Errorf("want one problem, got %v", err)
	}
}

func TestDocumentsMadeInCodeAreCheckedWithoutFiles(t *testing.T) {
	d := &v1alpha1.Documents{WorkerPools: []v1alpha1.WorkerPool{{}}}
	d.WorkerPools[0].Name = "gpu"
	d.WorkerPools[0].Spec = v1alpha1.WorkerPoolSpec{Hypervisor: "lab", KubeCluster: "rke2", Template: v1alpha1.Template{Name: "t"}, GPUs: []v1alpha1.GPURequest{{Host: "pve1", BDF: "03"}}}
	v1alpha1.SetDefaults(d)
	_, problems := d.Validate()
	var got []string
	for _, problem := range problems {
		got = append(got, problem.String())
	}
	want := `WorkerPool/gpu: spec.hypervisor: there is no Hypervisor document "lab"; these files have no document of this kind
WorkerPool/gpu: spec.kubeCluster: there is no KubeCluster document "rke2"; these files have no document of this kind
WorkerPool/gpu: spec.gpus[0].bdf: "03" is not a PCI address; write it as domain:bus:device.function, for example "0000:03:00.0" (gpuworker gpus lists them)`
	if diff := cmp.Diff(want, strings.Join(got, "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
