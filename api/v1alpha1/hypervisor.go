package v1alpha1

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Hypervisor is one Proxmox VE cluster, or one stand-alone host: its address and
// how to log in to it.
type Hypervisor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec HypervisorSpec `json:"spec"`
}

// HypervisorSpec names exactly one kind of hypervisor.
type HypervisorSpec struct {
	// Proxmox is a Proxmox VE cluster, 8.4 or 9.x.
	Proxmox *Proxmox `json:"proxmox,omitempty"`

	// RequireHostFacts refuses a card unless there are facts of its host from
	// gpuworker-host (--host-facts, --ssh), and no fact about the card is unknown.
	// Without it, an unknown fact is only a note. A failed check always refuses a card.
	RequireHostFacts bool `json:"requireHostFacts,omitempty"`
}

// Proxmox is how to reach and use a Proxmox VE cluster.
type Proxmox struct {
	// Endpoint is the URL of any host of the cluster: scheme, host and port, nothing
	// more. Example: "https://pve1.example.org:8006".
	Endpoint string `json:"endpoint"`

	// TLS says which certificate to trust. Default: the certificate authorities of
	// the system.
	TLS TLS `json:"tls,omitempty,omitzero"`

	// Credentials are the login. An API token is enough, except for attach: Raw.
	Credentials Credentials `json:"credentials"`

	// VMIDs is the range of numbers for new VMs. Reserve it for gpuworker.
	// Default: 9100 to 9899.
	// +kubebuilder:default={first: 9100, last: 9899}
	VMIDs VMIDRange `json:"vmids,omitempty,omitzero"`

	// Attach is how a card is attached to a VM: Mapping (default; works with an
	// API token) or Raw (needs root@pam with a password).
	// +kubebuilder:validation:Enum=Mapping;Raw
	// +kubebuilder:default=Mapping
	Attach AttachMode `json:"attach,omitempty"`

	// ResourcePool is the Proxmox resource pool for new VMs. Permissions to change VMs
	// can then be granted on this pool only.
	ResourcePool string `json:"resourcePool,omitempty"`

	// ISOStorage is the storage for the ISO images with the data for cloud-init. Each
	// host needs a storage of this name with the content type iso. Default: local.
	// +kubebuilder:default=local
	ISOStorage string `json:"isoStorage,omitempty"`
}

// AttachMode is how a card goes into a VM's configuration.
type AttachMode string

// How a card is attached.
const (
	// AttachMapping attaches through a PCI resource mapping, one for each card.
	AttachMapping AttachMode = "Mapping"
	// AttachRaw writes the BDF into the VM. Proxmox allows this only to root@pam
	// with a password, never to a token.
	AttachRaw AttachMode = "Raw"
)

// TLS says which server certificate to trust. At most one of Fingerprint,
// CAFile and Insecure is set.
type TLS struct {
	// Fingerprint is the SHA-256 fingerprint of the server's certificate in
	// hexadecimal, with or without colons. `pvenode cert info` prints it: use that of
	// pveproxy-ssl.pem, or of pve-ssl.pem if there is no pveproxy-ssl.pem.
	Fingerprint string `json:"fingerprint,omitempty"`
	// CAFile is a PEM file with certificate authorities, such as a copy of
	// /etc/pve/pve-root-ca.pem. Its path is relative to the document.
	CAFile string `json:"caFile,omitempty"`
	// Insecure turns TLS verification off. Credentials can then be intercepted. Use
	// it only in test labs.
	Insecure bool `json:"insecure,omitempty"`
}

// Credentials are a token, or a user name with a password. A document never
// contains the values: they come from the environment or from a file.
type Credentials struct {
	// Token is a whole API token, "user@realm!name=secret".
	Token *SecretSource `json:"token,omitempty"`
	// Username is the user who logs in with Password, "root@pam".
	Username string `json:"username,omitempty"`
	// Password is the password of Username.
	Password *SecretSource `json:"password,omitempty"`
}

// SecretSource says where a secret is. Exactly one field is set.
type SecretSource struct {
	// Env is the name of an environment variable.
	Env string `json:"env,omitempty"`
	// File is a regular file that contains only the secret and that only its owner
	// can read (mode 600). Its path is relative to the document.
	File string `json:"file,omitempty"`
	// SecretRef is a Secret in the Kubernetes cluster in which the controller runs.
	// The command line refuses it, because only the controller can read it.
	SecretRef *SecretReference `json:"secretRef,omitempty"`
}

// SecretReference is a key of a Kubernetes Secret in the document's own namespace.
type SecretReference struct {
	// Name is the name of the Secret.
	Name string `json:"name"`
	// Key is the key in the Secret.
	Key string `json:"key"`
}

// VMIDRange is an inclusive range of VM numbers. Write both ends or none.
type VMIDRange struct {
	// First is the lowest number, at least 100: Proxmox reserves the numbers below.
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=999999999
	First int `json:"first,omitempty"`
	// Last is the highest number, at most 999999999.
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=999999999
	Last int `json:"last,omitempty"`
}

// KubeCluster is the Kubernetes cluster that workers join.
type KubeCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec KubeClusterSpec `json:"spec"`
}

// KubeClusterSpec says what the cluster runs and where its servers are.
type KubeClusterSpec struct {
	// Distribution is RKE2 (default) or K3s.
	// +kubebuilder:validation:Enum=RKE2;K3s
	// +kubebuilder:default=RKE2
	Distribution Distribution `json:"distribution,omitempty"`
	// Server is the URL at which agents register, "https://rke2.example.org:9345".
	Server string `json:"server"`
	// JoinToken says where the agent's join token is.
	JoinToken *SecretSource `json:"joinToken,omitempty"`
}

// Distribution is a Kubernetes distribution.
type Distribution string

// The distributions that workers can join.
const (
	RKE2 Distribution = "RKE2"
	K3s  Distribution = "K3s"
)

// Endpoint is the URL of the hypervisor's API, "" if the document has none.
// Documents with the same endpoint describe the same hypervisor.
func (h *Hypervisor) Endpoint() string {
	if h.Spec.Proxmox == nil {
		return ""
	}
	return h.Spec.Proxmox.Endpoint
}

// ResourcePool is the hypervisor's pool for new VMs, "" for none.
func (h *Hypervisor) ResourcePool() string {
	if h.Spec.Proxmox == nil {
		return ""
	}
	return h.Spec.Proxmox.ResourcePool
}

// ISOStorage is the storage for ISO images, "" where the hypervisor has none.
func (h *Hypervisor) ISOStorage() string {
	if h.Spec.Proxmox == nil {
		return ""
	}
	return cmp.Or(h.Spec.Proxmox.ISOStorage, DefaultISOStorage)
}

// DefaultISOStorage is the directory /var/lib/vz, which the installer of Proxmox VE makes
// on each host as a storage for ISO images.
const DefaultISOStorage = "local"

// DefaultBridge is the network on Proxmox VE for which no name is written: the bridge
// that its installer makes.
const DefaultBridge = "vmbr0"
