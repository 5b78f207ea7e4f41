package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WorkerPool is a set of like workers: virtual machines, each with one whole GPU or
// without any, that join a KubeCluster or nothing.
type WorkerPool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec WorkerPoolSpec `json:"spec"`
}

// WorkerPoolSpec is what all workers of the pool have in common, and how many
// there are: by GPUs or by Replicas, never both.
type WorkerPoolSpec struct {
	// Hypervisor is the name of the Hypervisor document where the VMs live.
	Hypervisor string `json:"hypervisor"`
	// KubeCluster is the name of the KubeCluster document that they join. Left out:
	// they join nothing.
	KubeCluster string `json:"kubeCluster,omitempty"`

	// Lifecycle is SemiPersistent (changed in place, never destroyed but by
	// name) or Ephemeral (replaced freely). Default: Ephemeral with replicas or
	// names alone, SemiPersistent otherwise. A pool with GPUs cannot be Ephemeral.
	// +kubebuilder:validation:Enum=SemiPersistent;Ephemeral
	Lifecycle Lifecycle `json:"lifecycle,omitempty"`

	// GPUs are the cards of the pool: one worker for each card.
	GPUs []GPURequest `json:"gpus,omitempty"`

	// Replicas is the number of workers of a pool without GPUs. 0 is none.
	// +kubebuilder:validation:Minimum=0
	Replicas *int32 `json:"replicas,omitempty"`

	// Names are the names of the workers: of their VMs and KubeNodes. One for each
	// card or replica; without either they say how many workers there are. Left out:
	// POOL-1, POOL-2, …
	Names []string `json:"names,omitempty"`

	// Hosts limits the hosts that may run workers. Empty: all.
	Hosts []string `json:"hosts,omitempty"`

	// Template is the VM template to clone.
	Template Template `json:"template"`

	// Machine is the size of the VMs: what every hypervisor has.
	Machine Machine `json:"machine,omitempty,omitzero"`

	// Networks are the network cards of each VM, in their order. Left out: one, in
	// the hypervisor's default network, with DHCP.
	Networks []Network `json:"networks,omitempty"`

	// DNS are name servers and search domains. Left out: those of the host.
	DNS DNS `json:"dns,omitempty,omitzero"`

	// Access is who may log in.
	Access Access `json:"access,omitempty,omitzero"`

	// Labels are put on the KubeNode by its kubelet, so only those that a
	// kubelet may set on itself: no node-role.kubernetes.io/….
	Labels map[string]string `json:"labels,omitempty"`
	// Taints are put on the KubeNode.
	Taints []Taint `json:"taints,omitempty"`

	// Proxmox are the options that only Proxmox VE has.
	Proxmox *ProxmoxWorkers `json:"proxmox,omitempty"`
}

// Lifecycle is what may happen to a worker without a person naming it.
type Lifecycle string

// The two lifecycles.
const (
	SemiPersistent Lifecycle = "SemiPersistent"
	Ephemeral      Lifecycle = "Ephemeral"
)

// GPURequest asks for one card by its place (Card, or Host and BDF), or for Count
// cards by kind (Model or ID, perhaps only on some Hosts).
type GPURequest struct {
	// Card is the place of one card, "pve1/0000:03:00.0", as the commands print it.
	Card string `json:"card,omitempty"`
	// Host is where the card of BDF is. Host and BDF are another way to write Card.
	Host string `json:"host,omitempty"`
	// BDF is the PCI address of the card on Host, "0000:03:00.0". The function may
	// be left out: the whole card is taken.
	BDF string `json:"bdf,omitempty"`

	// Model selects cards by name, "Tesla T4", compared without case.
	Model string `json:"model,omitempty"`
	// ID selects cards by vendor and device, "10de:1eb8".
	ID string `json:"id,omitempty"`
	// Count is how many cards to take by Model or ID. Default 1.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:default=1
	Count int32 `json:"count,omitempty"`
	// Hosts limits the hosts to take them from. Empty: those of the pool.
	Hosts []string `json:"hosts,omitempty"`
}

// Template says which VM template to clone: by exactly one of Name, ID and Tags, or
// by Library and Item. A template on local storage must exist on each host that is
// to run workers; by name or tags there may be one on each host.
type Template struct {
	// Name is the name of the template.
	Name string `json:"name,omitempty"`
	// ID is the hypervisor's identifier of the template, as text: "9000".
	ID string `json:"id,omitempty"`
	// Tags are tags that the template has, all of them.
	Tags []string `json:"tags,omitempty"`
	// Library is the content library of Item. Proxmox VE has none.
	Library string `json:"library,omitempty"`
	// Item is the template in Library.
	Item string `json:"item,omitempty"`

	// Clone is Linked (default; quick, and needs the template for ever) or Full.
	// +kubebuilder:validation:Enum=Linked;Full
	// +kubebuilder:default=Linked
	Clone CloneMode `json:"clone,omitempty"`
}

// CloneMode is how the disks of a template are copied.
type CloneMode string

// How to clone.
const (
	CloneLinked CloneMode = "Linked"
	CloneFull   CloneMode = "Full"
)

// Machine is the virtual hardware that every hypervisor has. The defaults are right
// for passthrough and harmless without it.
type Machine struct {
	// Cores is the number of virtual CPU cores, in one socket. Default 4.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=512
	// +kubebuilder:default=4
	Cores int32 `json:"cores,omitempty"`
	// Memory is a quantity in whole MiB, "32Gi". Default 8Gi. A GPU worker pins
	// all of it on its host.
	// +kubebuilder:default="8Gi"
	Memory resource.Quantity `json:"memory,omitempty,omitzero"`
	// Disk is the first disk.
	Disk Disk `json:"disk,omitempty,omitzero"`
	// Firmware is UEFI (default; Secure Boot keys are never enrolled, since they
	// refuse unsigned NVIDIA modules), BIOS, or Template to keep what the template
	// has.
	// +kubebuilder:validation:Enum=UEFI;BIOS;Template
	// +kubebuilder:default=UEFI
	Firmware Firmware `json:"firmware,omitempty"`
}

// Disk is the size and place of the first disk.
type Disk struct {
	// Size is a quantity in whole MiB, "80Gi". Left out: that of the template.
	// It only grows.
	Size resource.Quantity `json:"size,omitempty,omitzero"`
	// Storage takes the disks of full clones, the EFI variables and the
	// cloud-init drive. Left out: where the template's disk is.
	Storage string `json:"storage,omitempty"`
}

// MachineType is the chipset of a VM.
type MachineType string

// The chipsets.
const (
	Q35    MachineType = "Q35"
	I440FX MachineType = "I440FX"
)

// Firmware is what boots the VM.
type Firmware string

// The firmwares.
const (
	UEFI             Firmware = "UEFI"
	BIOS             Firmware = "BIOS"
	FirmwareTemplate Firmware = "Template"
)

// Network is one network card of each worker.
type Network struct {
	// Name is the hypervisor's name of the network: on Proxmox VE a bridge, "vmbr1".
	// Left out: the hypervisor's default.
	Name string `json:"name,omitempty"`
	// VLAN is the tag, 1 to 4094; 0 for none.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4094
	VLAN int32 `json:"vlan,omitempty"`
	// Addresses are static addresses with prefix length, "192.0.2.21/24": the
	// worker with number n takes the n-th. Empty: DHCP.
	Addresses []string `json:"addresses,omitempty"`
	// Gateway is the default route. At most one network has it.
	Gateway string `json:"gateway,omitempty"`
	// MACs are the addresses of the network cards, "bc:24:11:00:00:01", set before a
	// VM is started for the first time: the worker with number n takes the n-th.
	// Empty: the hypervisor chooses.
	MACs []string `json:"macs,omitempty"`
}

// DNS is the resolver of the workers.
type DNS struct {
	// Servers are the IP addresses of name servers.
	Servers []string `json:"servers,omitempty"`
	// Search are the domains that short names are looked up in.
	Search []string `json:"search,omitempty"`
}

// Access is the login that cloud-init makes.
type Access struct {
	// User is the name of the login. Left out: that of the image.
	User string `json:"user,omitempty"`
	// SSHKeys are public keys: each entry one line of authorized_keys, without
	// options.
	SSHKeys []string `json:"sshKeys,omitempty"`
}

// ProxmoxWorkers are the options of VMs that only Proxmox VE has.
type ProxmoxWorkers struct {
	// CPU is the CPU model. Default "host".
	// +kubebuilder:default=host
	CPU string `json:"cpu,omitempty"`
	// MachineType is Q35 (default) or I440FX. PCIe passthrough needs Q35.
	// +kubebuilder:validation:Enum=Q35;I440FX
	// +kubebuilder:default=Q35
	MachineType MachineType `json:"machineType,omitempty"`
	// OnBoot starts the VMs when their host boots. Default true.
	// +kubebuilder:default=true
	OnBoot *bool `json:"onBoot,omitempty"`
	// Protection has the hypervisor refuse to destroy the VM. Default: true for
	// SemiPersistent, false for Ephemeral.
	Protection *bool `json:"protection,omitempty"`
	// PCIe shows the card as a PCI Express device. Default true; needs Q35. Ignored
	// without GPUs, as the two below.
	// +kubebuilder:default=true
	PCIe *bool `json:"pcie,omitempty"`
	// ROMBar shows the card's firmware ROM to the guest. Default true.
	// +kubebuilder:default=true
	ROMBar *bool `json:"romBar,omitempty"`
	// XVGA makes the card the VM's primary display. Default false: only for
	// guests that need it.
	// +kubebuilder:default=false
	XVGA *bool `json:"xVGA,omitempty"`
}

// Taint is a taint of a KubeNode.
type Taint struct {
	// Key is a Kubernetes label key, "nvidia.com/gpu".
	Key string `json:"key"`
	// Value is a Kubernetes label value, or nothing.
	Value string `json:"value,omitempty"`
	// Effect is what the taint does.
	// +kubebuilder:validation:Enum=NoSchedule;PreferNoSchedule;NoExecute
	Effect TaintEffect `json:"effect"`
}

// TaintEffect is what a taint does to pods that do not tolerate it.
type TaintEffect string

// The effects, as Kubernetes names them.
const (
	NoSchedule       TaintEffect = "NoSchedule"
	PreferNoSchedule TaintEffect = "PreferNoSchedule"
	NoExecute        TaintEffect = "NoExecute"
)
