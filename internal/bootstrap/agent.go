package bootstrap

// agentScript makes sure that the guest agent runs. Images of Ubuntu and Debian have
// none; those of RHEL and Rocky Linux have one.
const agentScript = `#!/bin/sh
# Installs the QEMU guest agent, through which gpuworker sees this VM.
if ! command -v qemu-ga >/dev/null; then
  if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=600 update
    apt-get -o DPkg::Lock::Timeout=600 -y install qemu-guest-agent
  elif command -v dnf >/dev/null; then
    dnf -y install qemu-guest-agent
  fi
fi
if ! command -v qemu-ga >/dev/null; then
  echo "gpuworker: qemu-guest-agent cannot be installed, so gpuworker cannot see this VM: the reason is in /var/log/cloud-init-output.log; use a template that has it, or a mirror (aptMirror, proxy)" | tee /dev/console >&2
  exit 1
fi
systemctl start --no-block qemu-guest-agent.service
`

// Files of the guest agent in RHEL and its rebuilds.
const (
	agentEnvPath    = "/etc/gpuworker/guest-agent.env"
	agentDropInPath = "/etc/systemd/system/qemu-guest-agent.service.d/50-gpuworker.conf"
	agentPolicyPath = "/etc/gpuworker/gpuworker_guest_agent.cil" // SELinux takes the name of the module from it
)

// allowAgent lets the guest agent of RHEL and its rebuilds do what gpuworker needs: read and
// write files, and run commands. By default two things prevent it:
//
//   - /etc/sysconfig/qemu-ga, which the unit reads, blocks these calls, or allows only
//     others. The variable is BLACKLIST_RPC up to RHEL 8, BLOCK_RPCS in RHEL 9,
//     FILTER_RPC_ARGS since RHEL 9.4, QEMU_GA_ARGS in newer packages. A later
//     EnvironmentFile= overrides an earlier one (systemd.exec(5)), and an update of the
//     package leaves it alone.
//   - SELinux confines the agent in the domain virt_qemu_ga_t, which may neither write
//     below /etc nor ask systemd (virt_qemu_ga_selinux(8)). The domain becomes permissive,
//     with the same module of one line that semanage permissive writes, but semanage is not
//     in each image. The other domains stay enforced.
//
// It runs at the begin of the first boot, because the agent may answer before the rest of
// the seed is used. Whoever may use the agent is on the hypervisor, and can read and change
// the disks of the VM anyway.
const allowAgent = `[ -e /etc/redhat-release ] || exit 0
[ "$(cat ` + seededPath + ` 2>/dev/null)" != "$1" ] || exit 0
mkdir -p /etc/gpuworker /etc/systemd/system/qemu-guest-agent.service.d
cat >` + agentEnvPath + ` <<'END'
# Made by gpuworker: the guest agent may do all that it can.
BLACKLIST_RPC=
BLOCK_RPCS=
FILTER_RPC_ARGS=
QEMU_GA_ARGS=
END
cat >` + agentDropInPath + ` <<'END'
# Made by gpuworker: overrides /etc/sysconfig/qemu-ga.
[Service]
EnvironmentFile=-` + agentEnvPath + `
END
if [ -e /sys/fs/selinux/enforce ] && ! semodule -l | grep -qx gpuworker_guest_agent; then
  echo '(typepermissive virt_qemu_ga_t)' >` + agentPolicyPath + `
  semodule -i ` + agentPolicyPath + ` || echo "gpuworker: SELinux still confines the guest agent, so gpuworker cannot see this VM: in the template run semanage permissive -a virt_qemu_ga_t" | tee /dev/console >&2
fi
systemctl daemon-reload
if command -v qemu-ga >/dev/null; then
  systemctl --no-block try-restart qemu-guest-agent.service
fi
`
