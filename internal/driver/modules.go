package driver

// Loading is how the guest loads NVIDIA's kernel modules.
type Loading struct {
	Files []File
	// Initramfs is the command that puts the files into the initramfs, where nouveau is
	// loaded early. It is only needed when one of Files changed.
	Initramfs []string
	// Unload are modules to remove when they are loaded and unused: nouveau in a guest that
	// booted before the files were there.
	Unload []string
	// Load are the modules of a running driver, in the order of loading.
	Load []string
}

// LoadingFor returns how a guest of this release loads the modules of the order. It is
// empty for a strategy with which gpuworker-guest does not load them.
//
// Sources: NVIDIA, Driver Installation Guide, "Disabling nouveau"; update-initramfs(8);
// dracut(8). NVreg_NvLinkDisable: cozystack PR 2780, tested there with a single H200.
func LoadingFor(o Order, os OS) Loading {
	if !o.Strategy.loadsModules() {
		return Loading{}
	}
	l := Loading{
		Files: []File{
			{Path: "/etc/modprobe.d/gpuworker-nouveau.conf", Mode: 0o644, Content: noNouveau},
			{Path: "/etc/modules-load.d/gpuworker-nvidia.conf", Mode: 0o644, Content: "# Written by gpuworker. nvidia is loaded by udev, nvidia_uvm by nothing.\nnvidia_uvm\n"},
		},
		Initramfs: []string{"update-initramfs", "-u", "-k", "all"},
		Unload:    []string{"nouveau"},
		Load:      []string{"nvidia", "nvidia_uvm"},
	}
	if os.family() == rhel {
		l.Initramfs = []string{"dracut", "--force", "--regenerate-all"}
	}
	if o.NoNVLink {
		l.Files = append(l.Files, File{Path: "/etc/modprobe.d/gpuworker-nvidia.conf", Mode: 0o644, Content: noNVLink})
	}
	return l
}

const noNouveau = `# Written by gpuworker: nouveau would take the card from the NVIDIA driver.
blacklist nouveau
options nouveau modeset=0
`

const noNVLink = `# Written by gpuworker: this is a single card of an SXM board, without NVLink partners.
options nvidia NVreg_NvLinkDisable=1
`
