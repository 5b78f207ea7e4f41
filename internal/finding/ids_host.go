package finding

// The findings about a Linux host, which the host tool reads from sysfs, procfs
// and configuration files, in the order of the layers. Each has a page in
// kinds_host.go.
const (
	HostDeviceUnreadable ID = "HOST-DEVICE-UNREADABLE" // a device, or the list of them, could not be read

	HostIOMMUOffFirmware ID = "HOST-IOMMU-OFF-FIRMWARE"
	HostRMRR             ID = "HOST-RMRR" // the firmware reserves memory that the card must reach

	HostIOMMUOffKernel ID = "HOST-IOMMU-OFF-KERNEL"
	HostBootConfig     ID = "HOST-BOOT-CONFIG-WRONG-FILE"
	HostNoRemapping    ID = "HOST-NO-INTERRUPT-REMAPPING"
	HostIOMMUMode      ID = "HOST-IOMMU-PASSTHROUGH-MODE" // whether iommu=pt is set
	HostKernelReports  ID = "HOST-KERNEL-REPORTS"
	HostLockdown       ID = "HOST-LOCKDOWN"
	HostVFIOMissing    ID = "HOST-VFIO-MISSING"
	HostVirqfdListed   ID = "HOST-VFIO-VIRQFD-LISTED"
	HostNoGroup        ID = "HOST-NO-GROUP"
	HostGroupForeign   ID = "HOST-GROUP-FOREIGN-DEVICE"
	HostGroupBridge    ID = "HOST-GROUP-BRIDGE"
	HostACSOverride    ID = "HOST-ACS-OVERRIDE"
	HostNVSwitch       ID = "HOST-NVSWITCH"
	HostDriverOwns     ID = "HOST-DRIVER-OWNS-CARD"
	HostFunctionsLeft  ID = "HOST-FUNCTIONS-LEFT-BEHIND"
	HostCardDivided    ID = "HOST-CARD-DIVIDED" // virtual functions, vGPU
	HostCardClaimed    ID = "HOST-CARD-CLAIMS"
	HostBindUnfinished ID = "HOST-BIND-UNFINISHED"
	HostOnlyConsole    ID = "HOST-ONLY-CONSOLE"
	HostFramebuffer    ID = "HOST-FRAMEBUFFER-HOLDS-BAR"
	HostBARUnassigned  ID = "HOST-BAR-UNASSIGNED"
	HostGuestWindow    ID = "HOST-GUEST-WINDOW-SMALL"
	HostAddressWidth   ID = "HOST-IOMMU-ADDRESS-WIDTH"
	HostROM            ID = "HOST-CARD-ROM"
	HostCardGone       ID = "HOST-CARD-GONE"
	HostResetMissing   ID = "HOST-RESET-MISSING"
	HostPowerStuck     ID = "HOST-POWER-STUCK"
	HostMemoryShort    ID = "HOST-MEMORY-SHORT"
	HostMemlock        ID = "HOST-MEMLOCK-LIMIT"
	HostStartTimeout   ID = "HOST-START-TIMEOUT"
	HostNUMA           ID = "HOST-NUMA-MISMATCH"
	HostCardMoved      ID = "HOST-CARD-MOVED"
	HostVMNotQ35       ID = "HOST-VM-NOT-Q35"
	HostVMHidesKVM     ID = "HOST-VM-HIDES-KVM"
)
