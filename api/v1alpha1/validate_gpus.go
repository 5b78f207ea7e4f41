package v1alpha1

import (
	"strings"

	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// takenCards are the cards that the pools name, with document and field: one card is for
// one worker.
type takenCards map[card]takenCard

// card is a physical card. Two Hypervisor documents with the same endpoint are the same
// hypervisor.
type card struct {
	hypervisor string
	ref        pci.CardRef
}

type takenCard struct {
	by   *object
	path string
}

func (o *object) gpus(p *WorkerPool, taken takenCards) {
	for i, g := range p.Spec.GPUs {
		path := fieldpath.Item("spec.gpus", i)
		switch {
		case g.Card != "":
			o.gpuByCard(path, p, g, taken)
		case g.BDF != "" || g.Host != "":
			o.gpuByPlace(path, p, g, taken)
		case g.Model != "" || g.ID != "":
			o.gpuByKind(path, p, g)
		default:
			o.errorf(path, "names no card; write {card: \"pve1/0000:03:00.0\"} for one card, or {model: Tesla T4, count: 1} for any card of a model (gpuworker gpus lists them)")
		}
	}
}

// gpuByCard checks an entry that names a card as host/address.
func (o *object) gpuByCard(path string, p *WorkerPool, g GPURequest, taken takenCards) {
	extra := g.kindFields()
	if g.BDF != "" {
		extra = append([]string{"bdf"}, extra...)
	}
	if g.Host != "" {
		extra = append([]string{"host"}, extra...)
	}
	if len(extra) > 0 {
		o.errorf(path, "card already names one card; remove %s", phrase.And(extra))
	}
	at := fieldpath.Under(path, "card")
	ref, err := pci.ParseCardRef(g.Card)
	if err != nil {
		o.errorf(at, "%v (gpuworker gpus lists them)", err)
		return
	}
	o.hostOfCard(at, p, ref.Host)
	o.takeCard(path, p, ref, taken)
}

// hostOfCard checks that the host may run workers of the pool.
func (o *object) hostOfCard(path string, p *WorkerPool, host string) {
	if wrong := hostProblem(host); wrong != "" {
		o.errorf(path, "%s", wrong)
	} else if !contains(p.Spec.Hosts, host) {
		o.errorf(path, "%s is not among spec.hosts, which limit the whole pool to %s", phrase.Quote(host), phrase.Several(p.Spec.Hosts))
	}
}

func (o *object) gpuByPlace(path string, p *WorkerPool, g GPURequest, taken takenCards) {
	if extra := g.kindFields(); len(extra) > 0 {
		o.errorf(path, "host and bdf already name one card; remove %s", phrase.And(extra))
	}
	if g.Host == "" {
		o.errorf(fieldpath.Under(path, "host"), "is missing: a bdf needs the host too, because each host has its own addresses (gpuworker gpus lists them)")
		return
	}
	o.hostOfCard(fieldpath.Under(path, "host"), p, g.Host)
	if g.BDF == "" {
		o.errorf(fieldpath.Under(path, "bdf"), "is missing; write the address of the card on the host, or hosts: [%s] with model and count for any card there", g.Host)
		return
	}
	slot, err := pci.ParseCardSlot(g.BDF)
	if err != nil {
		o.errorf(fieldpath.Under(path, "bdf"), "%v (gpuworker gpus lists them)", err)
		return
	}
	if bdf, err := pci.ParseBDF(g.BDF); err == nil && bdf.Function != 0 {
		o.warnf(fieldpath.Under(path, "bdf"), "names function %d, but the VM gets the whole card, %s with all its functions", bdf.Function, bdf.Slot)
	}
	o.takeCard(path, p, pci.CardRef{Host: g.Host, Slot: slot}, taken)
}

func (o *object) takeCard(path string, p *WorkerPool, ref pci.CardRef, taken takenCards) {
	hypervisor := p.Spec.Hypervisor
	if h, ok := o.docs.Hypervisor(hypervisor); ok && h.Spec.Proxmox != nil {
		hypervisor = h.Spec.Proxmox.Endpoint
	}
	this := card{hypervisor, ref}
	if first, twice := taken[this]; twice {
		o.conflict(path, first.by.field(first.path), "the card %s is already used; one card is for one worker", ref)
		return
	}
	taken[this] = takenCard{o, path}
}

func (o *object) gpuByKind(path string, p *WorkerPool, g GPURequest) {
	if g.Model != "" && g.ID != "" {
		o.errorf(path, "has model and id; write only one of them")
	}
	if g.Model != "" && strings.TrimSpace(g.Model) == "" {
		o.errorf(fieldpath.Under(path, "model"), "is blank; write a name such as \"Tesla T4\"")
	}
	if g.ID != "" {
		id, err := pci.ParseID(g.ID)
		if err != nil {
			o.errorf(fieldpath.Under(path, "id"), "%v (gpuworker gpus lists them)", err)
		} else if id.Vendor != pci.VendorNVIDIA {
			o.errorf(fieldpath.Under(path, "id"), "%s is of vendor %04x, but only cards of NVIDIA (%04x) can be GPU workers", id, id.Vendor, pci.VendorNVIDIA)
		}
	}
	if g.Count < 0 {
		o.errorf(fieldpath.Under(path, "count"), "%d is not a number of cards; write 1 or more", g.Count)
	}
	hosts := fieldpath.Under(path, "hosts")
	o.distinct(hosts, g.Hosts, hostProblem)
	for i, host := range g.Hosts {
		if hostProblem(host) == "" && !contains(p.Spec.Hosts, host) {
			o.errorf(fieldpath.Item(hosts, i), "%s is not among spec.hosts, which limit the whole pool to %s", phrase.Quote(host), phrase.Several(p.Spec.Hosts))
		}
	}
}

// kindFields returns the fields that are set and that ask for any card of a kind.
func (g GPURequest) kindFields() []string {
	var set []string
	for _, f := range []struct {
		name string
		set  bool
	}{{"model", g.Model != ""}, {"id", g.ID != ""}, {"count", g.Count != 0 && g.ByPlace()}, {"hosts", len(g.Hosts) > 0}} {
		if f.set {
			set = append(set, f.name)
		}
	}
	return set
}
