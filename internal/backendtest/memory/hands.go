package memory

import (
	"time"

	"github.com/gpuworker/gpuworker/internal/backendtest"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// AddTemplate makes a template.
func (w *World) AddTemplate(name string, machine inventory.Machine) (id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id = w.newID("vm")
	w.vms[id] = &vm{id: id, name: name, uuid: "90000000-0000-4000-8000-000000000000", template: true, next: machine}
	return id
}

// Make makes a stopped foreign VM.
func (w *World) Make(name, id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
	if id == "" {
		id = w.newID("vm")
	}
	w.vms[id] = &vm{id: id, name: name, uuid: "7ea50000-0000-4000-8000-0000000000" + id[len(id)-2:], next: inventory.Machine{Cores: 1, MemoryMiB: 1024}}
	return id
}

// Remove removes a VM, even a running or protected one.
func (w *World) Remove(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
	delete(w.vms, id)
}

// Fail makes the next task fail.
func (w *World) Fail(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fails = text
}

// Edit changes a VM as a person does. Cards are those of the first host.
func (w *World) Edit(id string, change func(*backendtest.VM)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
	v := w.vms[id]
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
		v.running, v.host, v.applied, v.started = is.Running, w.hosts[0].Name, v.next, time.Now()
		if !is.Running {
			v.host = ""
		}
	}
	v.version++
}
