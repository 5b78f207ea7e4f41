package finding

// The findings about a hypervisor, in the order of the layers. Each has a row
// in kinds.go.
const (
	APIVersion ID = "API-VERSION"  // the version is too old or not known
	TLSTrust   ID = "TLS-INSECURE" // the certificate is not checked

	ClusterNoQuorum ID = "CLUSTER-NO-QUORUM"

	PrivilegeMissing ID = "PRIVILEGE-MISSING"
	PoolMissing      ID = "RESOURCE-POOL-MISSING"
	RawNeedsRoot     ID = "RAW-NEEDS-ROOT"

	HostOffline    ID = "HOST-OFFLINE"
	HostUnreadable ID = "HOST-UNREADABLE"
	HostUnknown    ID = "HOST-UNKNOWN"     // a document names a host that does not exist
	HostNotAllowed ID = "HOST-NOT-ALLOWED" // the host is not in the pool's hosts
	HostIOMMUOff   ID = "HOST-IOMMU-OFF"
	HostDriver     ID = "HOST-DRIVER" // the API does not show the kernel driver of the card
	HostFactsNone  ID = "HOST-FACTS-MISSING"
	HostFactsOld   ID = "HOST-FACTS-OLD"

	HostFactsUnused ID = "HOST-FACTS-UNUSED" // facts of a host that no hypervisor has

	CardMissing       ID = "CARD-MISSING"
	CardNotGPU        ID = "CARD-NOT-GPU"
	CardGroupShared   ID = "CARD-GROUP-SHARED"
	CardGroupHidden   ID = "CARD-GROUP-HIDDEN"   // the API does not show whether the card is alone in its group
	CardHeld          ID = "CARD-HELD"           // in the configuration of another VM
	CardHolderUnknown ID = "CARD-HOLDER-UNKNOWN" // a VM that may hold it cannot be read
	CardClaimed       ID = "CARD-CLAIMED"        // reserved for another worker
	CardUsed          ID = "CARD-USED"           // by another worker of this plan
	CardNoMatch       ID = "CARD-NO-MATCH"
	MappingStale      ID = "MAPPING-STALE"
	CardDriver        ID = "CARD-DRIVER-MISMATCH" // the declared driver does not work with the card
	CardDriverUnknown ID = "CARD-DRIVER-UNKNOWN"  // the card is not in the table of drivers
	CardNVLink        ID = "CARD-NVLINK"          // a single module of an SXM board

	TemplateMissing     ID = "TEMPLATE-MISSING"
	TemplateAmbiguous   ID = "TEMPLATE-AMBIGUOUS"
	TemplateNoCloudInit ID = "TEMPLATE-NO-CLOUD-INIT"
	TemplateHasCard     ID = "TEMPLATE-HAS-CARD"
	TemplateNoDisk      ID = "TEMPLATE-NO-DISK"

	StorageMissing ID = "STORAGE-MISSING"
	StorageContent ID = "STORAGE-CONTENT"
	SeedStorage    ID = "SEED-STORAGE" // no usable storage for the image of a seed
	StorageFull    ID = "STORAGE-FULL"
	StorageLocal   ID = "STORAGE-NOT-SHARED" // a full clone to another host needs shared storage

	BridgeMissing  ID = "BRIDGE-MISSING"
	BridgeNotAware ID = "BRIDGE-NOT-VLAN-AWARE"

	MemoryShort  ID = "MEMORY-SHORT"
	CPUShort     ID = "CPU-SHORT"
	IDRangeFull  ID = "VMID-RANGE-FULL"
	AddressShort ID = "ADDRESS-SHORT" // no static address is left for the worker's number

	VMNameTaken    ID = "VM-NAME-TAKEN"
	VMIdentity     ID = "VM-IDENTITY"      // looks like ours, but the proof fails
	VMDuplicate    ID = "VM-DUPLICATE"     // two VMs are one worker
	VMCloneStuck   ID = "VM-CLONE-STUCK"   // a clone died and left its lock
	VMCloneRunning ID = "VM-CLONE-RUNNING" // a foreign clone with a number of our range
	VMLocked       ID = "VM-LOCKED"        // a backup, a migration, …
	VMUnreadable   ID = "VM-UNREADABLE"
	VMElsewhere    ID = "VM-ELSEWHERE"    // a worker's VM is not on the host of its card
	VMAdoptRemake  ID = "VM-ADOPT-REMAKE" // after an adoption, apply would destroy and recreate it
	VMCardDiffers  ID = "VM-CARD-DIFFERS" // another card than the worker's is attached

	GuestNoSeed ID = "GUEST-SEED-MISSING"  // the VM was started before it had its seed
	SeedLeft    ID = "SEED-LEFT"           // the image of a seed belongs to no VM
	GuestSilent ID = "GUEST-NOT-PROVEN"    // the guest could not be looked at
	GuestOther  ID = "GUEST-PROGRAM-OTHER" // gpuworker-guest has another version

	// A step of apply missed its deadline.
	StepCloneLate   ID = "STEP-CLONE-LATE"
	StepClaimLate   ID = "STEP-CLAIM-LATE"
	StepWriteLate   ID = "STEP-WRITE-LATE"
	StepPowerLate   ID = "STEP-POWER-LATE"
	StepDestroyLate ID = "STEP-DESTROY-LATE"
	StepAgentLate   ID = "STEP-AGENT-LATE"
	StepSeedLate    ID = "STEP-SEED-LATE"
	StepGuestLate   ID = "STEP-BOOTSTRAP-LATE"
)
