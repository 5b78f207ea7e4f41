package inventory

// Capabilities are what differs between hypervisors, as far as it changes what
// is planned and in which order it is done.
type Capabilities struct {
	// ChoosesIDs: the hypervisor gives a new VM its identifier. Otherwise we do.
	ChoosesIDs bool `json:"choosesIDs"`
	// HidesGroups: IOMMU groups cannot be seen, so that nobody can tell whether a
	// card is alone in its group. That is not the same as an IOMMU that is off.
	HidesGroups bool `json:"hidesGroups"`
	// ClaimsInVM: there is no register of cards that is written atomically; a claim
	// is a word in the VM's own configuration. A VM is then there before its claim.
	ClaimsInVM bool `json:"claimsInVM"`
	// BindsAtPowerOn: a VM gets its host, and its card there, when it is started.
	// Until then it has no host.
	BindsAtPowerOn bool `json:"bindsAtPowerOn"`
	// SeedISO: a new VM can be given an ISO image with the data for cloud-init.
	SeedISO bool `json:"seedISO"`
	// DefaultNetwork is the network of a VM for which none is declared.
	DefaultNetwork string `json:"defaultNetwork,omitempty"`
	// Guest is how one talks to the guest.
	Guest GuestChannel `json:"guest,omitempty"`
}

// GuestChannel is a way to talk to a guest through its hypervisor; empty when there
// is none.
type GuestChannel string

// The ways to talk to a guest.
const (
	GuestAgent GuestChannel = "agent"     // a guest agent that runs commands and tells addresses
	GuestInfo  GuestChannel = "guestinfo" // values that host and guest can both read and write
)
