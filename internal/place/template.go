package place

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// templateWords names the declared template: `"ubuntu-22.04"`, "VM 9000", "with tags
// gpu+ubuntu".
func templateWords(t v1alpha1.Template) string {
	switch {
	case t.Name != "":
		return fmt.Sprintf("%q", t.Name)
	case t.ID != "":
		return "VM " + t.ID
	}
	return "with tags " + strings.Join(t.Tags, "+")
}

// isTemplate reports whether the document names this VM as its template. The VM may
// be no template.
func isTemplate(t v1alpha1.Template, vm *inventory.VM) bool {
	switch {
	case t.Name != "":
		return vm.Name == t.Name
	case t.ID != "":
		return vm.ID == t.ID
	}
	return len(t.Tags) > 0 && !slices.ContainsFunc(t.Tags, func(tag string) bool { return !slices.Contains(vm.Tags, tag) })
}

// sharedWith reports whether all drives of the template are on storage that the host
// shares, so that the host can have a clone (PVE::API2::Qemu, clone_vm and
// check_storage_access_clone).
func sharedWith(s *inventory.Snapshot, template *inventory.VM, h *inventory.Host) bool {
	home := s.Host(template.Host)
	if template.Host == "" { // the hypervisor assigns hosts at power-on
		home = h
	}
	if home == nil || template.Machine.Storage == "" {
		return false
	}
	for _, name := range append([]string{template.Machine.Storage}, template.Storages...) {
		onHome, onHost := home.Storage(name), h.Storage(name)
		if onHome == nil || !onHome.Shared || onHost == nil || !onHost.Active {
			return false
		}
	}
	return true
}

func noTemplate(s *inventory.Snapshot, t v1alpha1.Template, h *inventory.Host, onOtherHosts, others []*inventory.VM) (reason, fix string) {
	switch {
	case len(onOtherHosts) > 0:
		return fmt.Sprintf("the host has no template %s; there is %s, on storage that %s does not share", templateWords(t), vmList(onOtherHosts), h.Name),
			fmt.Sprintf("make a copy of the template on %s, or keep all of it on shared storage, its cloud-init drive too", h.Name)
	case len(others) > 0:
		return fmt.Sprintf("there is no template %s; %s is a VM, not a template", templateWords(t), vmList(others)),
			on(others[0].Host, s.AdviseVM(inventory.MakeTemplate, others[0]))
	}
	return "there is no template " + templateWords(t) + " on any visible host",
		s.Advise(inventory.FindTemplate, inventory.Subject{})
}

func vmList(vms []*inventory.VM) string {
	var names []string
	for _, vm := range vms {
		names = append(names, VMName(vm)+" on "+vm.Host)
	}
	return strings.Join(names, ", ")
}

// checkTemplate checks whether workers can be cloned from the template.
func checkTemplate(s *inventory.Snapshot, vm *inventory.VM) []finding.Finding {
	if vm.Unreadable != "" {
		return []finding.Finding{finding.New(finding.VMUnreadable, finding.Unknown, atVM(s, vm)).
			WithReason(fmt.Sprintf("template %s cannot be read: %s", VMName(vm), vm.Unreadable)).
			WithFix(UnreadableFix(s, vm))}
	}
	var findings []finding.Finding
	fail := func(id finding.ID, reason, fix string) {
		findings = append(findings, finding.New(id, finding.Fail, atVM(s, vm)).
			WithReason(fmt.Sprintf("template %s %s", VMName(vm), reason)).
			WithFix(on(vm.Host, fix)))
	}
	if vm.BootDisk == "" {
		fail(finding.TemplateNoDisk, "has no disk to boot from", s.AdviseVM(inventory.AddDisk, vm))
	}
	if !vm.CloudInit {
		fail(finding.TemplateNoCloudInit, "has no cloud-init drive, so login and addresses would never reach the guest",
			s.Advise(inventory.AddCloudInit, inventory.Subject{VM: vm.ID, Storage: cmp.Or(vm.Machine.Storage, "STORAGE")}))
	}
	if len(vm.Cards) > 0 {
		fail(finding.TemplateHasCard, "has a PCI card attached, which every clone would have too",
			s.Advise(inventory.EmptyTemplate, inventory.Subject{VM: vm.ID, Key: vm.Cards[0].Key}))
	}
	if len(findings) == 0 {
		findings = append(findings, finding.New(finding.TemplateMissing, finding.Pass, atVM(s, vm)).
			WithReason(fmt.Sprintf("template %s, disk of %s on %s", VMName(vm), phrase.Bytes(int64(vm.Machine.DiskMiB)*mib), vm.Machine.Storage)))
	}
	return findings
}
