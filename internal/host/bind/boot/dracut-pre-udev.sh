#!/bin/sh
# dracut reads this into its own shell, which must not end here.
sh /etc/gpuworker-host/boot
