package finding

// The findings about a guest, which gpuworker-guest reads from sysfs, procfs, the package
// database and nvidia-smi, in the order of the layers. Each has a page in kinds_guest.go.
const (
	GuestOrders    ID = "GUEST-ORDERS"              // the orders are missing, damaged, or of another VM
	GuestCloudInit ID = "GUEST-CLOUD-INIT-FAILED"   // a module of cloud-init failed
	GuestNotSealed ID = "GUEST-TEMPLATE-NOT-SEALED" // the guest has an identity of its template
	GuestBootstrap ID = "GUEST-BOOTSTRAP-FAILED"    // a step of the bootstrap failed
	GuestUpdates   ID = "GUEST-UPDATES-ON"          // updates of driver or kernel by themselves
	GuestNoGPU     ID = "GUEST-GPU-MISSING"
	GuestExtraGPU  ID = "GUEST-GPU-EXTRA"

	DriverTemplateOld ID = "DRIVER-TEMPLATE-OLD" // the template has an older driver than the declared one
	DriverNouveau     ID = "DRIVER-NOUVEAU"
	DriverSecureBoot  ID = "DRIVER-SECURE-BOOT"
	DriverOtherKernel ID = "DRIVER-OTHER-KERNEL" // the modules are for another kernel
	DriverMissing     ID = "DRIVER-MISSING"
	DriverVersion     ID = "DRIVER-VERSION"
	DriverFlavour     ID = "DRIVER-FLAVOUR" // open or proprietary
	DriverLibrary     ID = "DRIVER-LIBRARY-MISMATCH"
	DriverGSP         ID = "DRIVER-GSP-FAILED"
	DriverNVLink      ID = "DRIVER-NVLINK"
	DriverDeviceFiles ID = "DRIVER-DEVICE-FILES"
	DriverNoAnswer    ID = "DRIVER-NO-ANSWER" // nvidia-smi does not list the GPU
	DriverGPUUUID     ID = "DRIVER-GPU-UUID"
	DriverToolkit     ID = "DRIVER-TOOLKIT-MISSING"
)
