package proxmox_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/backendtest"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/proxmox"
	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestConformance runs the suite that every backend must pass.
func TestConformance(t *testing.T) { backendtest.Run(t, thorough.Every, newCluster) }

// cluster is a simulated cluster in the form that the conformance suite needs.
type cluster struct {
	t    *testing.T
	sim  *pvesim.Sim
	root *pve.Client // a person at the web interface
}

const conformanceHost = "pve1"

func newCluster(t *testing.T) backendtest.Lab {
	t.Helper()
	data, err := os.ReadFile("../../testdata/worlds/homelab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	world, err := pvesim.LoadWorld(data)
	if err != nil {
		t.Fatal(err)
	}
	sim, err := pvesim.New(world, pvesim.WithLog(func(string, ...any) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	root, err := pve.New(pve.Options{Endpoint: "https://pve1:8006", Username: "root@pam", Password: "homelab-root", Transport: sim.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{t, sim, root}
}

func (c *cluster) Setting() backendtest.Setting {
	return backendtest.Setting{
		Host: conformanceHost, Card: pci.MustCardRef(conformanceHost + "/0000:03:00.0"), Storage: "local-lvm",
		Template: inventory.VMRef{Host: conformanceHost, ID: "9000", Name: "ubuntu-22.04", UUID: "90000000-0000-4000-8000-000000009000"},
		Machine: inventory.Machine{
			Cores: 4, MemoryMiB: 4096, CPU: "host", Type: inventory.TypeQ35, Firmware: inventory.FirmwareUEFI, DiskMiB: 20 << 10,
			NICs: []inventory.NIC{{Network: "vmbr1", VLAN: 30, Address: "dhcp"}, {Network: "vmbr0", MAC: "bc:24:11:00:00:77", Address: "192.0.2.21/24"}}, OnBoot: true, Agent: true,
		},
	}
}

// carried is an engine's network, with the faults of the suite.
type carried struct {
	wire *backendtest.Wire
	next http.RoundTripper
}

func (c carried) RoundTrip(request *http.Request) (*http.Response, error) {
	var answer *http.Response
	err := c.wire.Carry(request.Method != http.MethodGet, func() (err error) {
		answer, err = c.next.RoundTrip(request)
		return err
	})
	if err != nil && answer != nil { // the answer is lost
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		return nil, err
	}
	return answer, err
}

func (c *cluster) Open(wire *backendtest.Wire) hypervisor.Backend {
	c.t.Helper()
	document := &v1alpha1.Hypervisor{Spec: v1alpha1.HypervisorSpec{Proxmox: &v1alpha1.Proxmox{
		Endpoint: "https://pve1:8006", VMIDs: v1alpha1.VMIDRange{First: 9100, Last: 9199},
	}}}
	document.Name = "lab"
	b, err := proxmox.Open(document, proxmox.Login{
		Token: "gpuworker@pve!engine=11111111-1111-4111-8111-111111111111", Transport: carried{wire, c.sim.Transport()},
	})
	c.must(err)
	return b
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) await(task pve.Task, err error) {
	c.t.Helper()
	c.must(err)
	err = task.Wait(context.Background())
	c.must(err)
}

func (c *cluster) number(id string) int {
	c.t.Helper()
	vmid, err := strconv.Atoi(id)
	c.must(err)
	return vmid
}

func (c *cluster) Make(name, id string) string {
	c.t.Helper()
	vmid := 300
	for _, taken := c.sim.State().VMs[vmid]; taken; _, taken = c.sim.State().VMs[vmid] {
		vmid++
	}
	if id != "" {
		vmid = c.number(id)
	}
	c.await(c.root.Clone(context.Background(), conformanceHost, 9000, pve.CloneOptions{NewID: vmid, Name: name}))
	return strconv.Itoa(vmid)
}

func (c *cluster) Remove(id string) {
	c.t.Helper()
	c.Edit(id, func(vm *backendtest.VM) { vm.Lock, vm.Protected, vm.Running = "", false, false })
	c.await(c.root.Destroy(context.Background(), conformanceHost, c.number(id), pve.DestroyOptions{}))
}

func (c *cluster) Fail(text string) {
	c.t.Helper()
	c.must(c.sim.Inject(pvesim.Fault{Method: "POST", Path: "/(clone|start)$", Effect: pvesim.TaskFails, Text: text}))
	c.must(c.sim.Inject(pvesim.Fault{Method: "DELETE", Path: "/qemu/[0-9]+$", Effect: pvesim.TaskFails, Text: text}))
}

func (c *cluster) Seeds(ref inventory.VMRef) [][]byte {
	var images [][]byte
	for _, clean := range []bool{false, true} {
		if data, there := c.sim.Upload(conformanceHost, "local:iso/"+inventory.SeedName(ref.UUID, clean)); there {
			images = append(images, data)
		}
	}
	return images
}

func (c *cluster) Guest(id string, how backendtest.GuestReaction) {
	c.t.Helper()
	guest := pvesim.Guest{OS: "ubuntu", Agent: true}
	switch how {
	case backendtest.GuestAnswers:
	case backendtest.GuestSilent:
		guest.Faults = []pvesim.GuestFault{pvesim.GuestNoAgent}
	case backendtest.GuestForbids:
		guest.Forbid = pvesim.RHELForbids
	}
	c.must(c.sim.SetGuest(c.number(id), guest))
}

func (c *cluster) Edit(id string, change func(*backendtest.VM)) {
	c.t.Helper()
	vmid := c.number(id)
	config := c.options(vmid)
	is := shown(config)
	is.Running = c.sim.State().VMs[vmid].Running
	was := is
	was.Tags = slices.Clone(is.Tags)
	change(&is)
	if was.Lock != "" && is.Lock == "" {
		c.must(c.sim.UnlockVM(vmid))
	}
	if update := edited(config, was, is); len(update.Set)+len(update.Delete) > 0 {
		c.must(c.root.UpdateConfig(context.Background(), conformanceHost, vmid, update))
	}
	switch {
	case is.Running && !was.Running:
		c.await(c.root.Start(context.Background(), conformanceHost, vmid, 0))
	case was.Running && !is.Running:
		c.await(c.root.Stop(context.Background(), conformanceHost, vmid))
	}
}

// options is a VM's configuration as it will be at the next start.
func (c *cluster) options(vmid int) map[string]string {
	c.t.Helper()
	config, err := c.root.Pending(context.Background(), conformanceHost, vmid)
	c.must(err)
	next := map[string]string{}
	for key, option := range config.Options {
		switch {
		case option.HasPending:
			next[key] = option.Pending
		case option.HasValue && !option.Delete:
			next[key] = option.Value
		}
	}
	return next
}

// cardByHand is the option in which a person attaches a card.
const cardByHand = "hostpci3"

func shown(config map[string]string) backendtest.VM {
	uuid, _ := pve.ParseProperties(config["smbios1"]).Get("uuid")
	vm := backendtest.VM{
		Name: config["name"], UUID: uuid, Note: config["description"], Tags: strings.FieldsFunc(config["tags"], func(r rune) bool { return r == ';' }),
		Lock: config["lock"], Protected: config["protection"] == "1",
	}
	if card, err := pci.ParseCardRef(conformanceHost + "/" + config[cardByHand]); err == nil {
		vm.Card = &card
	}
	return vm
}

// edited is the change from was to is.
func edited(config map[string]string, was, is backendtest.VM) pve.ConfigUpdate {
	update := pve.ConfigUpdate{Set: map[string]string{}}
	put := func(differs bool, key, value string) {
		switch {
		case !differs:
		case value == "":
			update.Delete = append(update.Delete, key)
		default:
			update.Set[key] = value
		}
	}
	identity := pve.ParseProperties(config["smbios1"])
	identity.Set("uuid", is.UUID)
	put(is.Name != was.Name, "name", is.Name)
	put(is.UUID != was.UUID, "smbios1", identity.String())
	put(is.Note != was.Note, "description", is.Note)
	put(!slices.Equal(is.Tags, was.Tags), "tags", strings.Join(is.Tags, ";"))
	put(is.Lock != "" && is.Lock != was.Lock, "lock", is.Lock)
	put(is.Protected != was.Protected, "protection", map[bool]string{true: "1"}[is.Protected])
	if is.Card != was.Card {
		card := ""
		if is.Card != nil {
			card = is.Card.Slot.String()
			put(true, "machine", "q35")
		}
		put(true, cardByHand, card)
	}
	return update
}

// A person changes the mappings of the cluster.

func (c *cluster) MakeEntry(card pci.CardRef) (name string) {
	c.t.Helper()
	c.must(c.root.CreateMapping(context.Background(), pve.MappingSpec{ID: "by-hand", Map: []string{
		"node=pve2,path=0000:03:00.0,id=10de:1eb8", "node=" + card.Host + ",path=" + card.Slot.String() + ",id=10de:1eb8",
	}}))
	return "by-hand"
}

func (c *cluster) OutdateRegister(card pci.CardRef) {
	c.t.Helper()
	c.update(card, func(m *pve.MappingUpdate) { m.Map[0] = strings.Replace(m.Map[0], "iommugroup=14", "iommugroup=99", 1) })
}

func (c *cluster) WriteRegister(card pci.CardRef, text string) {
	c.t.Helper()
	c.update(card, func(m *pve.MappingUpdate) { m.Description = strings.ReplaceAll(text, "\n", " ") })
}

// update changes the mapping that is the register of a card.
func (c *cluster) update(card pci.CardRef, change func(*pve.MappingUpdate)) {
	c.t.Helper()
	now, err := c.root.Mapping(context.Background(), "gpu-"+card.Host+"-"+strings.ReplaceAll(card.Slot.String(), ":", "-"))
	c.must(err)
	update := pve.MappingUpdate(now)
	change(&update)
	c.must(c.root.UpdateMapping(context.Background(), update))
}
