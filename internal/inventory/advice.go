package inventory

import (
	"strings"

	"github.com/gpuworker/gpuworker/internal/shell"
)

// Remedy is something that a person does in the hypervisor itself, in words that
// fit every hypervisor. A backend has its own words, with the command to type.
type Remedy string

// The remedies. What stands in braces is a part of the Subject.
const (
	TakeCardOut     Remedy = "take it out of that VM"
	TakeRestOut     Remedy = "look at it and take the rest out of its configuration"
	EmptyTemplate   Remedy = "take the card out of the template"
	MakeTemplate    Remedy = "if it is meant to be one, make it a template"
	AddDisk         Remedy = "import a disk, and make the template anew"
	AddCloudInit    Remedy = "give it a cloud-init drive"
	AddContent      Remedy = "choose another storage, or let this one take disks of VMs"
	ActivateStorage Remedy = "look why the storage is not active"
	LookAtVM        Remedy = "look at its configuration; gpuworker gpus lists the cards"
	RemoveClone     Remedy = "look at it, and when it is only the rest of a clone, remove it"
	RemoveDuplicate Remedy = "look which one is wanted, and destroy the other"
	GiveNameBack    Remedy = "if it is the worker, name it {name} again"
	MoveBack        Remedy = "move it back to {to} while it is stopped"
	GiveUUID        Remedy = "give it a UUID"
	MoreIDs         Remedy = "allow more identifiers in the Hypervisor document"
	MakePool        Remedy = "correct the resource pool in the Hypervisor document, or make it"
	SeeVMs          Remedy = "let the login read all VMs; gpuworker check shows what it lacks"
	SeeHosts        Remedy = "let the login read the hosts; gpuworker check shows what it lacks"
	FindTemplate    Remedy = "correct spec.template, or make the template; the login must be allowed to see it"
	FindVM          Remedy = "check the identifier; the login must be allowed to see the VM"
	SwitchIOMMUOn   Remedy = "turn VT-d or AMD-Vi on in the host's firmware, then reboot the host"
	Upgrade         Remedy = "upgrade the hypervisor to a version that gpuworker knows"
)

// Subject is what a remedy is about. Empty parts are not meant.
type Subject struct {
	Host, VM, Name, Key, Storage, Content, To string
}

// Advice is a hypervisor's own words for remedies, with the parts of the Subject
// in braces.
type Advice map[Remedy]string

// Advise says how a person does something in this hypervisor. Each part of the
// subject is quoted for a shell; a part that cannot be typed leaves no command.
func (s *Snapshot) Advise(remedy Remedy, about Subject) string {
	text := s.Advice[remedy]
	if text == "" {
		text = string(remedy)
	}
	var words []string // at once, so that a name with braces stays as it is
	for _, part := range []struct{ name, value string }{
		{"{host}", about.Host}, {"{vm}", about.VM}, {"{name}", about.Name}, {"{key}", about.Key},
		{"{storage}", about.Storage}, {"{content}", about.Content}, {"{to}", about.To},
	} {
		if !strings.Contains(text, part.name) {
			continue
		}
		word, ok := shell.Word(part.value)
		if !ok {
			return shell.Untypable
		}
		words = append(words, part.name, word)
	}
	return strings.NewReplacer(words...).Replace(text)
}

// AdviseVM is Advise about a VM.
func (s *Snapshot) AdviseVM(remedy Remedy, vm *VM) string {
	return s.Advise(remedy, Subject{Host: vm.Host, VM: vm.ID})
}
