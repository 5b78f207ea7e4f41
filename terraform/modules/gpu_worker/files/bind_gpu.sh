#!/usr/bin/env bash
# Leaves a card of this Proxmox VE host to virtual machines: binds all its functions, and no
# other device, to vfio-pci, now and at each boot. Run it yourself, as root, on the host.
# Terraform never runs it.
#
#   bind_gpu.sh 0000:03:00.0          dry run: shows what would be done
#   bind_gpu.sh 0000:03:00.0 --yes    does it
#
# All work is done by gpuworker-host, which refuses what would harm the host; its other
# options may be added. To undo it: gpuworker-host unbind 0000:03:00.0 --yes
set -euo pipefail

refuse() {
	echo "bind_gpu.sh: $*" >&2
	exit 2
}

form='^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$'
bdf=${1:-}
bdf=${bdf,,}
[[ $bdf =~ $form ]] || refuse "the first argument must be the full PCI address of a card, such as 0000:03:00.0; gpuworker-host list shows the addresses"
shift
command -v gpuworker-host >/dev/null ||
	refuse "gpuworker-host is not on this host: copy it to /usr/local/sbin; docs/hosts.md of gpuworker says how"

exec gpuworker-host bind "$bdf" "$@"
