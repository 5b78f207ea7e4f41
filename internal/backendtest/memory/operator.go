package memory

import (
	"time"

	"github.com/gpuworker/gpuworker/internal/backendtest"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// AddTemplate makes a template.
func (c *Cluster) AddTemplate(name string, machine inventory.Machine) (id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id = c.newID("vm")
	c.vms[id] = &vm{id: id, name: name, uuid: "90000000-0000-4000-8000-000000000000", template: true, next: machine}
	return id
}

// Make makes a stopped foreign VM.
func (c *Cluster) Make(name, id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	if id == "" {
		id = c.newID("vm")
	}
	c.vms[id] = &vm{id: id, name: name, uuid: "7ea50000-0000-4000-8000-0000000000" + id[len(id)-2:], next: inventory.Machine{Cores: 1, MemoryMiB: 1024}}
	return id
}

// Remove removes a VM, even a running or protected one.
func (c *Cluster) Remove(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	delete(c.vms, id)
}

// Fail makes the next task fail.
func (c *Cluster) Fail(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fails = text
}

// Edit changes a VM as a person does. Cards are those of the first host.
func (c *Cluster) Edit(id string, change func(*backendtest.VM)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	v := c.vms[id]
	is := backendtest.VM{Name: v.name, UUID: v.uuid, Note: v.note, Tags: v.tags, Lock: v.lock, Running: v.running, Protected: v.next.Protection}
	if card, ok := cardOf(v.next); ok {
		is.Card = &card
	}
	was := is
	change(&is)
	v.name, v.uuid, v.note, v.tags, v.lock, v.next.Protection = is.Name, is.UUID, is.Note, is.Tags, is.Lock, is.Protected
	if is.Card != was.Card {
		v.next.Card = nil
		if is.Card != nil {
			v.next.Card = &inventory.Card{Ref: *is.Card}
		}
	}
	if is.Running != was.Running {
		v.running, v.host, v.applied, v.started = is.Running, c.hosts[0].Name, v.next, time.Now()
		if !is.Running {
			v.host = ""
		}
	}
	v.version++
}
