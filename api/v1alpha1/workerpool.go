package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WorkerPool is a set of like workers: virtual machines that are nodes of a
// KubeCluster, each with one whole GPU or without any.
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
	// KubeCluster is the name of the KubeCluster document that they join.
	KubeCluster string `json:"kubeCluster"`

	// Lifecycle is SemiPersistent (changed in place, never destroyed but by
	// name) or Ephemeral (replaced freely). Default: Ephemeral with replicas,
	// SemiPersistent with GPUs or neither. A pool with GPUs cannot be Ephemeral.
	// +kubebuilder:validation:Enum=SemiPersistent;Ephemeral
	Lifecycle Lifecycle `json:"lifecycle,omitempty"`

	// GPUs are the cards of the pool: one worker for each card.
	GPUs []GPURequest `json:"gpus,omitempty"`

	// Replicas is the number of workers of a pool without GPUs. 0 is none.
	// +kubebuilder:validation:Minimum=0
	Replicas *int32 `json:"replicas,omitempty"`

	// Hosts limits the hosts that may run workers. Empty: all.
	Hosts []string `json:"hosts,omitempty"`

	// Template is the VM template to clone.
	Template Template `json:"template"`

	// Machine is the size and kind of the VMs.
	Machine Machine `json:"machine,omitempty,omitzero"`

	// Network is how the VMs are connected.
	Network Network `json:"network,omitempty,omitzero"`

	// Access is who may log in.
	Access Access `json:"access,omitempty,omitzero"`

	// Passthrough are the options of the attached card.
	Passthrough Passthrough `json:"passthrough,omitempty,omitzero"`

	// Labels are put on the KubeNode by its kubelet, so only those that a
	// kubelet may set on itself: no node-role.kubernetes.io/….
	Labels map[string]string `json:"labels,omitempty"`
	// Taints are put on the KubeNode.
	Taints []Taint `json:"taints,omitempty"`

	// OnBoot starts the VMs when their host boots. Default true.
	// +kubebuilder:default=true
	OnBoot *bool `json:"onBoot,omitempty"`
	// Protection has the hypervisor refuse to destroy the VM. Default: true for
	// SemiPersistent, false for Ephemeral.
	Protection *bool `json:"protection,omitempty"`
}

// Lifecycle is what may happen to a worker without a person naming it.
type Lifecycle string

// The two lifecycles.
const (
	SemiPersistent Lifecycle = "SemiPersistent"
	Ephemeral      Lifecycle = "Ephemeral"
)

// GPURequest asks for one card by its place (Host and BDF), or for Count cards
// by kind (Model or ID, perhaps only on some Hosts).
type GPURequest struct {
	// Host is where the card of BDF is. Host and BDF name one card exactly.
	Host string `json:"host,omitempty"`
	// BDF is the PCI address of the card on Host, "0000:03:00.0".
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

// Template says which VM template to clone: by exactly one of Name, VMID and
// Tags. A template on local storage must exist on each host that is to run
// workers; by name or tags there may be one on each host.
type Template struct {
	// Name is the name of the template.
	Name string `json:"name,omitempty"`
	// VMID is the number of the template.
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=999999999
	VMID int `json:"vmid,omitempty"`
	// Tags are tags that the template has, all of them.
	Tags []string `json:"tags,omitempty"`

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

// Machine is the virtual hardware. The defaults are right for passthrough and
// harmless without it.
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
	// CPU is the CPU model. Default "host".
	// +kubebuilder:default=host
	CPU string `json:"cpu,omitempty"`
	// Type is the machine type: Q35 (default) or I440FX. PCIe passthrough needs Q35.
	// +kubebuilder:validation:Enum=Q35;I440FX
	// +kubebuilder:default=Q35
	Type MachineType `json:"type,omitempty"`
	// Firmware is OVMF (default; Secure Boot keys are never enrolled, since they
	// refuse unsigned NVIDIA modules), SeaBIOS, or Template to keep what the
	// template has.
	// +kubebuilder:validation:Enum=OVMF;SeaBIOS;Template
	// +kubebuilder:default=OVMF
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
	OVMF             Firmware = "OVMF"
	SeaBIOS          Firmware = "SeaBIOS"
	FirmwareTemplate Firmware = "Template"
)

// Network is the first network card of each worker.
type Network struct {
	// Bridge is the host's bridge. Default "vmbr0".
	// +kubebuilder:default=vmbr0
	Bridge string `json:"bridge,omitempty"`
	// VLAN is the tag, 1 to 4094; 0 for none.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4094
	VLAN int32 `json:"vlan,omitempty"`
	// Addresses are static addresses with prefix length, "192.0.2.21/24": the
	// worker with number n takes the n-th. Empty: DHCP.
	Addresses []string `json:"addresses,omitempty"`
	// Gateway is the default route. Needed with Addresses.
	Gateway string `json:"gateway,omitempty"`
	// DNS are name servers and search domains. Left out: those of the host.
	DNS DNS `json:"dns,omitempty,omitzero"`
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

// Passthrough are the options of the card in the VM. They are ignored by a
// pool without GPUs.
type Passthrough struct {
	// XVGA makes the card the VM's primary display. Default false: only for
	// guests that need it.
	// +kubebuilder:default=false
	XVGA *bool `json:"xVGA,omitempty"`
	// PCIe shows the card as a PCI Express device. Default true; needs Q35.
	// +kubebuilder:default=true
	PCIe *bool `json:"pcie,omitempty"`
	// ROMBar shows the card's firmware ROM to the guest. Default true.
	// +kubebuilder:default=true
	ROMBar *bool `json:"romBar,omitempty"`
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
