package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WorkerPool is a set of workers of the same kind: virtual machines, each with one
// whole GPU or none. They join a KubeCluster, or no cluster.
type WorkerPool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec WorkerPoolSpec `json:"spec"`
}

// WorkerPoolSpec has the properties of all workers of the pool, and their number:
// by GPUs or by Replicas, never both.
type WorkerPoolSpec struct {
	// Hypervisor is the name of the Hypervisor document for the VMs.
	Hypervisor string `json:"hypervisor"`
	// KubeCluster is the name of the KubeCluster document that the VMs join. Without
	// it the VMs join no cluster.
	KubeCluster string `json:"kubeCluster,omitempty"`

	// Lifecycle is SemiPersistent (changed in place, and destroyed only if a person
	// names the worker in a command) or Ephemeral (may be replaced at any time).
	// Default: Ephemeral with only replicas or names, SemiPersistent otherwise. A
	// pool with gpus cannot be Ephemeral.
	// +kubebuilder:validation:Enum=SemiPersistent;Ephemeral
	Lifecycle Lifecycle `json:"lifecycle,omitempty"`

	// GPUs are the cards of the pool: one worker for each card.
	GPUs []GPURequest `json:"gpus,omitempty"`

	// Replicas is the number of workers of a pool without gpus.
	// +kubebuilder:validation:Minimum=0
	Replicas *int32 `json:"replicas,omitempty"`

	// Names are the names of the workers, and so of their VMs and KubeNodes: one for
	// each card or replica. A pool with neither gpus nor replicas has one worker for
	// each name. Default: POOL-1, POOL-2, …
	Names []string `json:"names,omitempty"`

	// Hosts limits the hosts that may run workers. Default: all hosts.
	Hosts []string `json:"hosts,omitempty"`

	// Template is the VM template to clone.
	Template Template `json:"template"`

	// Machine is the virtual hardware of the VMs, as far as every hypervisor has it.
	Machine Machine `json:"machine,omitempty,omitzero"`

	// Driver is the NVIDIA driver of the workers. Default: none, strategy None. Only a pool
	// with gpus has one.
	Driver *Driver `json:"driver,omitempty"`

	// Networks are the network interfaces of each VM, in order. Default: one interface
	// in the hypervisor's default network, with DHCP.
	Networks []Network `json:"networks,omitempty"`

	// DNS has name servers and search domains. Default: those of the host.
	DNS DNS `json:"dns,omitempty,omitzero"`

	// Access is the user account of the VMs.
	Access Access `json:"access,omitempty,omitzero"`

	// Bootstrap is how a new guest is made a worker. Default: {} with the driver
	// strategies Preinstalled, Packages and Ansible, which need gpuworker-guest; otherwise
	// the hypervisor's own cloud-init options, and no gpuworker-guest.
	Bootstrap *Bootstrap `json:"bootstrap,omitempty"`

	// Labels are set on the KubeNode by its kubelet. Only labels that a kubelet may
	// set are allowed: no node-role.kubernetes.io/….
	Labels map[string]string `json:"labels,omitempty"`
	// Taints are set on the KubeNode.
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
// cards by kind (Model or ID, optionally only on some Hosts).
type GPURequest struct {
	// Card is the place of one card, as commands print it: "pve1/0000:03:00.0".
	Card string `json:"card,omitempty"`
	// Host is the host of BDF. Host and BDF together are the same as Card.
	Host string `json:"host,omitempty"`
	// BDF is the PCI address of the card on Host, "0000:03:00.0". The function may be
	// left out, because the worker gets the whole card.
	BDF string `json:"bdf,omitempty"`

	// Model selects cards by name, "Tesla T4". Upper and lower case are the same.
	Model string `json:"model,omitempty"`
	// ID selects cards by vendor and device, "10de:1eb8".
	ID string `json:"id,omitempty"`
	// Count is the number of cards with this Model or ID. Default 1.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:default=1
	Count int32 `json:"count,omitempty"`
	// Hosts limits the hosts of these cards. Default: the hosts of the pool.
	Hosts []string `json:"hosts,omitempty"`
}

// Template says which VM template to clone: by exactly one of Name, ID and Tags, or
// by Library and Item. A template on local storage must exist on each host that
// runs workers; with a name or tags there may be one on each host.
type Template struct {
	// Name is the name of the template.
	Name string `json:"name,omitempty"`
	// ID is the hypervisor's identifier of the template, as text: "9000".
	ID string `json:"id,omitempty"`
	// Tags selects the template that has all these tags.
	Tags []string `json:"tags,omitempty"`
	// Library is the content library that contains Item. Proxmox VE has none.
	Library string `json:"library,omitempty"`
	// Item is the name of the template in Library.
	Item string `json:"item,omitempty"`

	// OS is the operating system in the template. It is only needed where something
	// depends on it, such as the driver strategy Packages.
	// +kubebuilder:validation:Enum=ubuntu-22.04;ubuntu-24.04;ubuntu-26.04;debian-12;debian-13;rhel-9;rocky-9;almalinux-9
	OS GuestOS `json:"os,omitempty"`

	// Clone is Linked (default; fast, but its VMs always need the template) or Full.
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

// Machine is the virtual hardware that every hypervisor has. The defaults suit
// passthrough and are harmless without it.
type Machine struct {
	// Cores is the number of virtual CPU cores, in one socket. Default 4.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=512
	// +kubebuilder:default=4
	Cores int32 `json:"cores,omitempty"`
	// Memory is a quantity in whole MiB, "32Gi". Default 8Gi. The host pins all
	// memory of a GPU worker.
	// +kubebuilder:default="8Gi"
	Memory resource.Quantity `json:"memory,omitempty,omitzero"`
	// Disk is the first disk.
	Disk Disk `json:"disk,omitempty,omitzero"`
	// Firmware is UEFI (default), BIOS, or Template (keep the firmware of the
	// template). With UEFI no Secure Boot keys are enrolled, because with them the
	// guest refuses unsigned NVIDIA modules.
	// +kubebuilder:validation:Enum=UEFI;BIOS;Template
	// +kubebuilder:default=UEFI
	Firmware Firmware `json:"firmware,omitempty"`
}

// Disk is the size and storage of the first disk.
type Disk struct {
	// Size is a quantity in whole MiB, "80Gi". Default: the size in the template. A
	// disk can grow but not shrink.
	Size resource.Quantity `json:"size,omitempty,omitzero"`
	// Storage is for the disks of full clones, the EFI variables and the cloud-init
	// drive. Default: the storage of the template's disk.
	Storage string `json:"storage,omitempty"`
}

// MachineType is the chipset of a VM.
type MachineType string

// The chipsets.
const (
	Q35    MachineType = "Q35"
	I440FX MachineType = "I440FX"
)

// Firmware is the firmware of a VM.
type Firmware string

// The kinds of firmware.
const (
	UEFI             Firmware = "UEFI"
	BIOS             Firmware = "BIOS"
	FirmwareTemplate Firmware = "Template"
)

// Network is one network interface of each worker.
type Network struct {
	// Name is the name of the network on the hypervisor: on Proxmox VE a bridge,
	// "vmbr1". Default: the hypervisor's default network.
	Name string `json:"name,omitempty"`
	// VLAN is the VLAN tag, 1 to 4094; 0 for none.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4094
	VLAN int32 `json:"vlan,omitempty"`
	// Addresses are static addresses with prefix length, "192.0.2.21/24". The worker
	// with number n takes the n-th entry. Default: DHCP.
	Addresses []string `json:"addresses,omitempty"`
	// Gateway is the default route. Only one network may have it.
	Gateway string `json:"gateway,omitempty"`
	// MACs are the MAC addresses of the interfaces, "bc:24:11:00:00:01", set before a
	// VM starts for the first time. The worker with number n takes the n-th entry.
	// Default: the hypervisor chooses.
	MACs []string `json:"macs,omitempty"`
}

// DNS is the resolver of the workers.
type DNS struct {
	// Servers are the IP addresses of name servers.
	Servers []string `json:"servers,omitempty"`
	// Search are the search domains for short names.
	Search []string `json:"search,omitempty"`
}

// Access is the user account that cloud-init creates.
type Access struct {
	// User is the name of the user. Default: the default user of the image.
	User string `json:"user,omitempty"`
	// SSHKeys are public keys of the user. Each entry is one line of authorized_keys,
	// without options.
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
	// Protection makes the hypervisor refuse to destroy the VM. Default: true for
	// SemiPersistent, false for Ephemeral.
	Protection *bool `json:"protection,omitempty"`
	// PCIe attaches the card as a PCI Express device. Default true; needs Q35. PCIe,
	// ROMBar and XVGA are ignored in a pool without gpus.
	// +kubebuilder:default=true
	PCIe *bool `json:"pcie,omitempty"`
	// ROMBar makes the card's firmware ROM visible to the guest. Default true.
	// +kubebuilder:default=true
	ROMBar *bool `json:"romBar,omitempty"`
	// XVGA makes the card the VM's primary display. Default false; set it only for
	// guests that need it.
	// +kubebuilder:default=false
	XVGA *bool `json:"xVGA,omitempty"`
}

// Taint is a taint of a KubeNode.
type Taint struct {
	// Key is a Kubernetes label key, "nvidia.com/gpu".
	Key string `json:"key"`
	// Value is a Kubernetes label value, or empty.
	Value string `json:"value,omitempty"`
	// Effect is what the taint does to pods that do not tolerate it.
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
