package engine

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/machine"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/term"
)

// Export writes the observed world as documents: the Hypervisors and KubeClusters as
// declared, those KubeClusters that only the workers name, one WorkerPool for each existing pool, and the free cards as comments to
// copy from.
func (e *Engine) Export(ctx context.Context, documents *v1alpha1.Documents) ([]byte, error) {
	seen, err := e.look(ctx, documents, plan.Request{Verb: plan.ApplyDocuments}, whole)
	if err != nil {
		return nil, err
	}
	for _, unseen := range seen.unseen { // a part of the world would be a wrong export
		return nil, unseen.Err()
	}
	var out bytes.Buffer
	written := map[string]bool{"": true} // names of KubeClusters
	for i := range documents.KubeClusters {
		writeDocument(&out, documents.KubeClusters[i])
		written[documents.KubeClusters[i].Name] = true
	}
	for _, in := range seen.inputs {
		writeDocument(&out, *in.Hypervisor)
		for _, pool := range exportPools(in.Hypervisor.Name, in.Snapshot) {
			if name := pool.Spec.KubeCluster; !written[name] {
				writeUnknownKubeCluster(&out, name)
				written[name] = true
			}
			writeDocument(&out, pool)
		}
		writeFreeCards(&out, in.Snapshot)
	}
	return out.Bytes(), nil
}

func writeDocument(out *bytes.Buffer, document any) {
	text, err := machine.YAML(document)
	if err != nil {
		panic(err) // our own types always marshal
	}
	text = bytes.ReplaceAll(text, []byte("  creationTimestamp: null\n"), nil)
	fmt.Fprintf(out, "---\n%s", text)
}

// writeUnknownKubeCluster writes a KubeCluster of which only the name is known, so that
// the documents are valid.
func writeUnknownKubeCluster(out *bytes.Buffer, name string) {
	k := v1alpha1.KubeCluster{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion, Kind: v1alpha1.KindKubeCluster}}
	k.Name, k.Spec.Server = name, v1alpha1.UnknownServer
	writeDocument(out, k)
}

// exportPools makes pools of the existing workers. Where the workers of a pool
// differ, the first one counts.
func exportPools(hypervisor string, s *inventory.Snapshot) []v1alpha1.WorkerPool {
	members := map[PoolKey][]*inventory.VM{}
	for i := range s.VMs {
		if ownership, _ := s.VMs[i].Ownership(); ownership == inventory.Ours {
			pool := PoolKey{s.VMs[i].Record.Pool, s.VMs[i].Record.KubeCluster}
			members[pool] = append(members[pool], &s.VMs[i])
		}
	}
	var pools []v1alpha1.WorkerPool
	for _, vms := range members {
		slices.SortFunc(vms, func(a, b *inventory.VM) int {
			return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
		})
		pool := exportPool(hypervisor, vms)
		if isFullClone(s, vms[0]) {
			pool.Spec.Template.Clone = v1alpha1.CloneFull
		}
		pools = append(pools, pool)
	}
	slices.SortFunc(pools, func(a, b v1alpha1.WorkerPool) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Spec.KubeCluster, b.Spec.KubeCluster))
	})
	return pools
}

func exportPool(hypervisor string, vms []*inventory.VM) v1alpha1.WorkerPool {
	first, record := vms[0], vms[0].Record
	pool := v1alpha1.WorkerPool{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion, Kind: v1alpha1.KindWorkerPool},
		ObjectMeta: metav1.ObjectMeta{Name: record.Pool},
		Spec: v1alpha1.WorkerPoolSpec{
			Hypervisor: hypervisor, KubeCluster: record.KubeCluster,
			Lifecycle: v1alpha1.Lifecycle(record.Lifecycle),
			Template:  v1alpha1.Template{Name: record.Template},
			Machine:   exportMachine(first.Machine),
			Networks:  exportNetworks(vms),
			DNS:       v1alpha1.DNS{Servers: first.Machine.Guest.DNS, Search: first.Machine.Guest.Search},
			Access:    v1alpha1.Access{User: first.Machine.Guest.User, SSHKeys: first.Machine.Guest.SSHKeys},
			Labels:    parseLabels(record.Labels),
			Taints:    parseTaints(record.Taints),
		},
	}
	pool.SetOptions(exportOptions(first.Machine))
	pool.Spec.Names = exportNames(&pool, vms)
	for _, vm := range vms {
		if card := vm.Record.Card; !card.IsZero() {
			pool.Spec.GPUs = append(pool.Spec.GPUs, v1alpha1.GPURequest{Card: card.String()})
		}
	}
	if len(pool.Spec.GPUs) == 0 {
		replicas := int32(len(vms))
		pool.Spec.Replicas = &replicas
	}
	return pool
}

// exportNames are the names of the workers; nil when they are numbered from 1.
func exportNames(pool *v1alpha1.WorkerPool, vms []*inventory.VM) []string {
	var names []string
	numbered := true
	for i, vm := range vms {
		names = append(names, vm.Name)
		numbered = numbered && pool.WorkerNumber(vm.Name) == i+1
	}
	if numbered {
		return nil
	}
	return names
}

func exportOptions(m inventory.Machine) v1alpha1.Options {
	options := v1alpha1.Options{
		CPU: m.CPU, MachineType: m.Type, OnBoot: m.OnBoot, Protection: m.Protection, PCIe: true, ROMBar: true,
	}
	if card := m.Card; card != nil {
		options.PCIe, options.ROMBar, options.XVGA = card.PCIe, card.ROMBar, card.XVGA
	}
	return options
}

// isFullClone reports whether a worker is a full clone of its template: its record
// says so or, since older records do not say it, its disk is on another storage than
// the template's, which is impossible for a linked clone.
func isFullClone(s *inventory.Snapshot, vm *inventory.VM) bool {
	if vm.Record.Clone == string(v1alpha1.CloneFull) {
		return true
	}
	moved := false
	for i := range s.VMs {
		if t := &s.VMs[i]; t.Template && t.Name == vm.Record.Template && t.Machine.Storage != "" {
			if t.Machine.Storage == vm.Machine.Storage {
				return false
			}
			moved = true
		}
	}
	return moved
}

func exportMachine(m inventory.Machine) v1alpha1.Machine {
	machine := v1alpha1.Machine{
		Cores: int32(m.Cores), Memory: mebibytes(m.MemoryMiB),
		Disk:     v1alpha1.Disk{Size: mebibytes(m.DiskMiB), Storage: m.Storage},
		Firmware: v1alpha1.UEFI,
	}
	if m.Firmware == inventory.FirmwareBIOS {
		machine.Firmware = v1alpha1.BIOS
	}
	return machine
}

func mebibytes(n int) resource.Quantity { return resource.MustParse(strconv.Itoa(n) + "Mi") }

// exportNetworks are the network cards of the first VM, with the addresses of all
// VMs. MACs are left out: undeclared MACs stay as they are.
func exportNetworks(vms []*inventory.VM) []v1alpha1.Network {
	var networks []v1alpha1.Network
	for i, nic := range vms[0].Machine.NICs {
		network := v1alpha1.Network{Name: nic.Network, VLAN: int32(nic.VLAN), Gateway: nic.Gateway}
		for _, vm := range vms {
			if address := vm.Machine.NIC(i).Address; address != "" && address != "dhcp" {
				network.Addresses = append(network.Addresses, address)
			}
		}
		networks = append(networks, network)
	}
	return networks
}

// writeFreeCards lists the free cards, ready to be copied into a pool.
func writeFreeCards(out *bytes.Buffer, s *inventory.Snapshot) {
	var lines []string
	for i := range s.Hosts {
		host := &s.Hosts[i]
		for _, device := range host.GPUs() {
			if len(s.Holders(host.Ref(device))) > 0 || s.Claim(host.Ref(device)) != nil {
				continue
			}
			gpu, _ := device.GPU()
			lines = append(lines, string(term.Sprintf("#   - {card: %q}  # %s", pci.CardRef{Host: host.Name, Slot: device.Slot}.String(), gpu.ShortName())))
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(out, "# Cards that no VM has (gpuworker check says which are ready):\n#   gpus:\n%s\n", strings.Join(lines, "\n"))
	}
}

// parseLabels parses labels of a record, "a=b,c=d".
func parseLabels(text string) map[string]string {
	labels := map[string]string{}
	for _, pair := range strings.FieldsFunc(text, isComma) {
		key, value, _ := strings.Cut(pair, "=")
		labels[key] = value
	}
	return labels
}

// parseTaints parses taints of a record, "key=value:Effect,key:Effect".
func parseTaints(text string) []v1alpha1.Taint {
	var taints []v1alpha1.Taint
	for _, taint := range strings.FieldsFunc(text, isComma) {
		at := strings.LastIndex(taint, ":")
		if at < 0 {
			continue
		}
		key, value, _ := strings.Cut(taint[:at], "=")
		taints = append(taints, v1alpha1.Taint{Key: key, Value: value, Effect: v1alpha1.TaintEffect(taint[at+1:])})
	}
	return taints
}

func isComma(r rune) bool { return r == ',' }
