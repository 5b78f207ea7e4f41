package inventory

import (
	"strings"

	"github.com/gpuworker/gpuworker/internal/shell"
)

// Remedy is something that a person does on the hypervisor, in words that fit every
// hypervisor. A backend may have its own words, with the command to type.
type Remedy string

// The remedies. Words in braces are parts of the Subject.
const (
	TakeCardOut     Remedy = "take it out of that VM"
	TakeRestOut     Remedy = "look at it and take the rest out of its configuration"
	EmptyTemplate   Remedy = "take the card out of the template"
	MakeTemplate    Remedy = "if it is meant to be one, make it a template"
	AddDisk         Remedy = "import a disk, and make the template again"
	AddCloudInit    Remedy = "give it a cloud-init drive"
	AddContent      Remedy = "choose another storage, or allow VM disks on this one"
	ActivateStorage Remedy = "find out why the storage is not active"
	LookAtVM        Remedy = "look at its configuration; gpuworker gpus lists the cards"
	RemoveClone     Remedy = "look at it, and if it is only the rest of a clone, remove it"
	RemoveDuplicate Remedy = "decide which one to keep, and destroy the other"
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

// Subject has the names that a remedy needs. Unused parts are empty.
type Subject struct {
	Host, VM, Name, Key, Storage, Content, To string
}

// Advice is a hypervisor's own words for remedies, with the parts of the Subject
// in braces.
type Advice map[Remedy]string

// Advise writes a remedy in the words of this hypervisor. Each part of the subject is
// quoted for a shell; when one cannot be quoted, there is no command.
func (s *Snapshot) Advise(remedy Remedy, about Subject) string {
	text := s.Advice[remedy]
	if text == "" {
		text = string(remedy)
	}
	var words []string // replaced in one pass, so that braces in a name stay as they are
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
