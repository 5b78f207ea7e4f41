package bootstrap

import (
	"cmp"
	"crypto/sha256"
	"fmt"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// VM is what a document does not say about the VM of a worker.
type VM struct {
	UUID string
	MACs []string   // of its network cards, in order; "" or missing for those of the document
	GPU  *guest.GPU // nil for a plain worker
}

// WorkerOf returns the worker with this number of a pool, from 1. The driver is the one that
// the pool declares for the GPU of the VM. program is the version of gpuworker.
func WorkerOf(p *v1alpha1.WorkerPool, n int, vm VM, builds []Build, program string) Worker {
	w := Worker{
		Name: p.WorkerName(n), UUID: vm.UUID, OS: driver.OS(p.Spec.Template.OS), NICs: nicsOf(p, n, vm.MACs), DNS: p.Spec.DNS, Access: p.Spec.Access,
		Program: Source{Delivery: v1alpha1.DeliverySeedISO, Builds: builds},
	}
	w.Orders = guest.Orders{Version: guest.Version, Program: program, Worker: w.Name, UUID: vm.UUID, Driver: driverOf(p, vm.GPU), GPU: vm.GPU}
	if b := p.Spec.Bootstrap; b != nil {
		w.Program.Delivery = cmp.Or(b.Delivery, v1alpha1.DeliverySeedISO)
		if b.Download != nil {
			w.Program.Download = *b.Download
		}
		if b.CloudInit != nil {
			w.Parts = *b.CloudInit
		}
	}
	return w
}

// driverOf returns the driver of a worker. A GPU whose ID cannot be read has the driver of
// most cards.
func driverOf(p *v1alpha1.WorkerPool, gpu *guest.GPU) driver.Order {
	if gpu == nil {
		return driver.Order{Strategy: driver.None}
	}
	id, _ := pci.ParseID(gpu.ID)
	return p.DriverOrder(id)
}

// nicsOf returns the network cards of a worker. One card with DHCP whose MAC address
// nobody knows needs no configuration: it is what every cloud image does by itself.
func nicsOf(p *v1alpha1.WorkerPool, n int, macs []string) []NIC {
	var nics []NIC
	for i, network := range p.Networks() {
		nic := NIC{MAC: entryOf(network.MACs, n-1), Address: entryOf(network.Addresses, n-1)}
		nic.MAC = cmp.Or(entryOf(macs, i), nic.MAC)
		if nic.Address != "" {
			nic.Gateway = network.Gateway
		}
		nics = append(nics, nic)
	}
	if len(nics) == 1 && nics[0] == (NIC{}) {
		return nil
	}
	return nics
}

func entryOf(list []string, i int) string {
	if i < 0 || i >= len(list) {
		return ""
	}
	return list[i]
}

// UUIDOf returns a UUID that a name always has (version 8 of RFC 9562), for a VM that
// gpuworker does not make.
func UUIDOf(name string) string {
	b := sha256.Sum256([]byte("gpuworker VM " + name))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
