package inventory

// Capabilities are differences between hypervisors that change what is planned or the
// order of steps.
type Capabilities struct {
	// ChoosesIDs: the hypervisor chooses the identifier of a new VM. Otherwise the
	// planner does.
	ChoosesIDs bool `json:"choosesIDs"`
	// HidesGroups: IOMMU groups are not visible, so it is not known whether a card is
	// alone in its group. The IOMMU may be on.
	HidesGroups bool `json:"hidesGroups"`
	// ClaimsInVM: there is no register of cards with atomic writes; a claim is a word
	// in the VM's own configuration, so the VM is made before its claim.
	ClaimsInVM bool `json:"claimsInVM"`
	// BindsAtPowerOn: a VM gets its host and its card when it is started. A stopped
	// VM has no host.
	BindsAtPowerOn bool `json:"bindsAtPowerOn"`
	// SeedISO: a VM can have an ISO image with data for cloud-init: see
	// hypervisor.Seeder.
	SeedISO bool `json:"seedISO"`
	// SeedStorage is the storage for the images of seeds, which each host needs; "" where
	// they need none.
	SeedStorage string `json:"seedStorage,omitempty"`
	// DefaultNetwork is the network of a VM without a declared network.
	DefaultNetwork string `json:"defaultNetwork,omitempty"`
	// Guest is the channel to the guest.
	Guest GuestChannel `json:"guest,omitempty"`
	// GuestFile is the size of the largest file that one call can write into a guest, in
	// bytes; 0 when none can be written.
	GuestFile int `json:"guestFile,omitempty"`
}

// GuestChannel is a way to communicate with a guest through its hypervisor; empty
// when there is none.
type GuestChannel string

// The channels.
const (
	GuestAgent GuestChannel = "agent"     // a guest agent that runs commands and reports addresses
	GuestInfo  GuestChannel = "guestinfo" // values that both host and guest can read and write
)
