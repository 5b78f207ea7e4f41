#!/bin/sh
# Puts the files of the cards, and vfio-pci, into the initramfs.
if [ "$1" = prereqs ]; then
	exit 0
fi
. /usr/share/initramfs-tools/hook-functions

if [ ! -f /etc/gpuworker-host/boot ]; then
	exit 0
fi
mkdir -p "$DESTDIR/etc/gpuworker-host/cards"
cp -p /etc/gpuworker-host/boot "$DESTDIR/etc/gpuworker-host/boot"
for card in /etc/gpuworker-host/cards/*.card; do
	if [ -f "$card" ]; then
		cp -p "$card" "$DESTDIR/etc/gpuworker-host/cards/"
	fi
done
manual_add_modules vfio_pci vfio_iommu_type1
