#!/bin/sh
# Gives cards to vfio-pci before a driver of the host can take them.
#
# Without an argument: all cards; in the initramfs, before udev is started.
# With the address of a function: its card; from udev, when the initramfs did not.
#
# A card is given only when all functions are those of its file and at the same
# place, and no driver has one of them. Nothing is ever unbound here. Only words
# that the shell itself has are used: there is little else in an initramfs.

cards=/etc/gpuworker-host/cards
sys=/sys
log=/dev/kmsg

say() {
	echo "gpuworker-host: $*" >"$log"
} 2>/dev/null

# is FILE TEXT: the attribute has this text.
is() {
	[ -r "$1" ] && read -r is_text <"$1" && [ "$is_text" = "$2" ]
}

# fits BDF VENDOR DEVICE SUBVENDOR SUBDEVICE CLASS PATH
fits() {
	fits_dir=$sys/bus/pci/devices/$1
	is "$fits_dir/vendor" "$2" && is "$fits_dir/device" "$3" &&
		is "$fits_dir/subsystem_vendor" "$4" && is "$fits_dir/subsystem_device" "$5" &&
		is "$fits_dir/class" "$6" && [ "$(cd -P "$fits_dir" && pwd -P)" = "$sys/devices/$7" ]
}

# unheld BDF: no driver of the host has it.
unheld() {
	[ ! -e "$sys/bus/pci/devices/$1/driver" ] || [ -e "$sys/bus/pci/drivers/vfio-pci/$1" ]
}

# look FILE: sets functions to those of the card, or says why not.
look() {
	functions='' whole=no format=no number=0
	while read -r word bdf vendor device subvendor subdevice class place rest; do
		case "$word" in
		'#') ;;
		gpuworker-host) [ "$bdf $vendor" = 'card 1' ] && format=yes ;;
		slot | serial) ;;
		place)
			if [ -r "$sys/bus/pci/slots/$bdf/address" ] && ! is "$sys/bus/pci/slots/$bdf/address" "$slot"; then
				say "$slot is not given to vfio-pci: it is no longer in slot $bdf of the board"
				return 1
			fi
			;;
		function)
			if ! fits "$bdf" "$vendor" "$device" "$subvendor" "$subdevice" "$class" "$place"; then
				say "$slot is not given to vfio-pci: $bdf is not the function that it was. The card moved, or another one is there"
				return 1
			fi
			if ! unheld "$bdf"; then
				say "$slot is not given to vfio-pci: a driver of the host has $bdf already"
				return 1
			fi
			functions="$functions $bdf"
			number=$((number + 1))
			;;
		end) whole=yes ;;
		*)
			say "$slot is not given to vfio-pci: $1 is damaged"
			return 1
			;;
		esac
	done <"$1"
	if [ "$whole$format" != yesyes ] || [ "$number" -eq 0 ]; then
		say "$slot is not given to vfio-pci: $1 is not whole"
		return 1
	fi
	for other in "$sys/bus/pci/devices/$slot".*; do
		number=$((number - 1))
	done
	if [ "$number" -ne 0 ]; then
		say "$slot is not given to vfio-pci: it has other functions than it had"
		return 1
	fi
}

give() {
	for bdf in $functions; do
		echo vfio-pci >"$sys/bus/pci/devices/$bdf/driver_override"
	done
	[ -e "$sys/bus/pci/drivers/vfio-pci" ] || modprobe vfio-pci
	for bdf in $functions; do
		[ -e "$sys/bus/pci/devices/$bdf/driver" ] || echo "$bdf" >"$sys/bus/pci/drivers/vfio-pci/bind"
	done
	tell
}

# tell says what has become of the functions.
tell() {
	for bdf in $functions; do
		if [ ! -e "$sys/bus/pci/drivers/vfio-pci" ]; then
			say "$slot is not given to vfio-pci: that driver could not be loaded"
			return
		elif [ ! -e "$sys/bus/pci/drivers/vfio-pci/$bdf" ]; then
			has=$(cd -P "$sys/bus/pci/devices/$bdf/driver" && pwd -P)
			has=${has##*/}
			say "$slot is not given to vfio-pci: it did not take $bdf, which has ${has:-no} driver now"
			return
		fi
	done
	say "$slot is given to vfio-pci:$functions"
}

for card in "$cards/${1%.*}"*.card; do
	[ -f "$card" ] || continue
	slot=${card##*/}
	slot=${slot%.card}
	if look "$card"; then
		give 2>/dev/null
	fi
done
exit 0
