package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Hypervisor is one Proxmox VE cluster (or stand-alone host): where it is and
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

	// RequireHostFacts uses a card only when its host was looked at with
	// gpuworker-host (--host-facts, --ssh) and nothing about the card is unknown.
	// Without it what is not known is a note, and what fails is refused all the same.
	RequireHostFacts bool `json:"requireHostFacts,omitempty"`
}

// Proxmox is how to reach and use a Proxmox VE cluster.
type Proxmox struct {
	// Endpoint is the address of any host of the cluster, "https://pve1.example.org:8006":
	// scheme, host and port, nothing more.
	Endpoint string `json:"endpoint"`

	// TLS says which certificate to trust. Left out: the system's roots.
	TLS TLS `json:"tls,omitempty,omitzero"`

	// Credentials say who we are. An API token is enough for everything but Attach: Raw.
	Credentials Credentials `json:"credentials"`

	// VMIDs is the range that new VMs take their numbers from. It belongs to
	// gpuworker: others should stay out of it. Default 9100 to 9899.
	// +kubebuilder:default={first: 9100, last: 9899}
	VMIDs VMIDRange `json:"vmids,omitempty,omitzero"`

	// Attach says how a card goes into a VM: Mapping (default; works with an
	// API token) or Raw (needs root@pam with a password).
	// +kubebuilder:validation:Enum=Mapping;Raw
	// +kubebuilder:default=Mapping
	Attach AttachMode `json:"attach,omitempty"`

	// ResourcePool puts new VMs into this Proxmox pool, so that rights can be
	// given on the pool alone.
	ResourcePool string `json:"resourcePool,omitempty"`
}

// AttachMode is how a card goes into a VM's configuration.
type AttachMode string

// How a card is attached.
const (
	// AttachMapping attaches through a PCI resource mapping, one for each card.
	AttachMapping AttachMode = "Mapping"
	// AttachRaw writes the BDF into the VM. Proxmox allows it to root@pam with
	// a password only, never to a token.
	AttachRaw AttachMode = "Raw"
)

// TLS says which server certificate to trust. At most one of Fingerprint,
// CAFile and Insecure is set.
type TLS struct {
	// Fingerprint is the SHA-256 of the server's certificate in hexadecimal,
	// with or without colons, as `pvenode cert info` prints it for pveproxy-ssl.pem,
	// or for pve-ssl.pem when there is none.
	Fingerprint string `json:"fingerprint,omitempty"`
	// CAFile is a PEM file of certificate authorities, such as
	// /etc/pve/pve-root-ca.pem of the cluster. Relative to the document.
	CAFile string `json:"caFile,omitempty"`
	// Insecure turns TLS verification off, so that credentials can be
	// intercepted. For throw-away labs.
	Insecure bool `json:"insecure,omitempty"`
}

// Credentials are a token, or a user name with a password. Values are never
// written in a document: they come from the environment or from a file.
type Credentials struct {
	// Token is a whole API token, "user@realm!name=secret".
	Token *SecretSource `json:"token,omitempty"`
	// Username is the login for a ticket, "root@pam". Needs Password.
	Username string `json:"username,omitempty"`
	// Password is the password of Username.
	Password *SecretSource `json:"password,omitempty"`
}

// SecretSource says where a secret is. Exactly one field is set.
type SecretSource struct {
	// Env is the name of an environment variable.
	Env string `json:"env,omitempty"`
	// File is a regular file that holds the secret and nothing else, readable by
	// its owner alone (mode 600). Relative to the document.
	File string `json:"file,omitempty"`
	// SecretRef is a Secret in the Kubernetes cluster that the controller runs in.
	// Only the controller reads it: not the command line.
	SecretRef *SecretReference `json:"secretRef,omitempty"`
}

// SecretReference is a key of a Kubernetes Secret in the document's own namespace.
type SecretReference struct {
	// Name is the name of the Secret.
	Name string `json:"name"`
	// Key is the key in it.
	Key string `json:"key"`
}

// VMIDRange is an inclusive range of VM numbers. Both ends are written, or
// neither.
type VMIDRange struct {
	// First is the lowest number, at least 100: Proxmox keeps those below.
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
	// Distribution is RKE2 or K3s. Default RKE2.
	// +kubebuilder:validation:Enum=RKE2;K3s
	// +kubebuilder:default=RKE2
	Distribution Distribution `json:"distribution,omitempty"`
	// Server is the address that agents register at, "https://rke2.example.org:9345".
	Server string `json:"server"`
	// JoinToken is where the agent's token is.
	JoinToken *SecretSource `json:"joinToken,omitempty"`
}

// Distribution is the kind of Kubernetes.
type Distribution string

// The distributions that workers can join.
const (
	RKE2 Distribution = "RKE2"
	K3s  Distribution = "K3s"
)

// Endpoint is where the hypervisor's API is; "" when the document has none.
// Documents with one endpoint speak of one hypervisor.
func (h *Hypervisor) Endpoint() string {
	if h.Spec.Proxmox == nil {
		return ""
	}
	return h.Spec.Proxmox.Endpoint
}

// ResourcePool is the pool of the hypervisor that new VMs go into; "" for none.
func (h *Hypervisor) ResourcePool() string {
	if h.Spec.Proxmox == nil {
		return ""
	}
	return h.Spec.Proxmox.ResourcePool
}

// DefaultBridge is the network on Proxmox VE for which no name is written: the bridge
// that its installer makes.
const DefaultBridge = "vmbr0"
