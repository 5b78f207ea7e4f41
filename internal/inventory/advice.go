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
	TakeCardOut     Remedy = "remove it from that VM"
	TakeRestOut     Remedy = "check its configuration and remove the other card settings"
	EmptyTemplate   Remedy = "remove the card from the template"
	MakeTemplate    Remedy = "if it should be a template, make it one"
	AddDisk         Remedy = "import a disk, and make the template again"
	AddCloudInit    Remedy = "give it a cloud-init drive"
	AddContent      Remedy = "choose another storage, or allow VM disks on this one"
	AddISOContent   Remedy = "allow ISO images on storage {storage}"
	RemoveImage     Remedy = "remove the image {key} from its storage"
	NameISOStorage  Remedy = "allow storage {storage} on this host, or name another one for the images of seeds"
	ActivateStorage Remedy = "find out why the storage is not active"
	LookAtVM        Remedy = "check its configuration; gpuworker gpus lists the cards"
	RemoveClone     Remedy = "check it; if it is only an incomplete clone, remove it"
	RemoveDuplicate Remedy = "decide which one to keep, and destroy the other"
	GiveNameBack    Remedy = "if it is the worker, restore its name, {name}"
	MoveBack        Remedy = "move it back to {to} while it is stopped"
	GiveUUID        Remedy = "give it a UUID"
	MoreIDs         Remedy = "allow more identifiers in the Hypervisor document"
	MakePool        Remedy = "correct the resource pool in the Hypervisor document, or make it"
	SeeVMs          Remedy = "allow the login to read all VMs; gpuworker check shows the missing privileges"
	SeeHosts        Remedy = "allow the login to read the hosts; gpuworker check shows the missing privileges"
	FindTemplate    Remedy = "correct spec.template, or make the template; the login must be allowed to see it"
	FindVM          Remedy = "check the identifier; the login must be allowed to see the VM"
	SwitchIOMMUOn   Remedy = "turn VT-d or AMD-Vi on in the host's firmware, then reboot the host"
	RepairClaim     Remedy = "find out who wrote register {key}, then remove its text if it is damaged; if a newer gpuworker wrote it, use that one"
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
