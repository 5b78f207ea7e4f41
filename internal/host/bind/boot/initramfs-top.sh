#!/bin/sh
# Runs before udev, whose script comes later in the alphabet.
if [ "$1" = prereqs ]; then
	exit 0
fi
if [ -f /etc/gpuworker-host/boot ]; then
	sh /etc/gpuworker-host/boot
fi
