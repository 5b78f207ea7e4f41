# A module of dracut: puts the files of the cards, and vfio-pci, into the initramfs.

check() {
	local card
	for card in "${dracutsysrootdir-}"/etc/gpuworker-host/cards/*.card; do
		[ -f "$card" ] && return 0
	done
	return 1
}

depends() {
	return 0
}

installkernel() {
	hostonly='' instmods vfio-pci vfio_iommu_type1
}

install() {
	local card
	inst_simple /etc/gpuworker-host/boot
	for card in "${dracutsysrootdir-}"/etc/gpuworker-host/cards/*.card; do
		inst_simple "${card#"${dracutsysrootdir-}"}"
	done
	inst_hook pre-udev 10 "$moddir/pre-udev.sh"
}
