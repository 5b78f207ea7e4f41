package bootstrap

import (
	"fmt"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// machineNames are the names that uname -m prints, by Go's architecture.
var machineNames = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

// Script returns gpu-bootstrap.sh: it installs gpuworker-guest, after it has checked its
// SHA-256, and its service. For a template: the service does nothing without orders.
func Script(w Worker) ([]byte, error) {
	if err := w.checkProgram(); err != nil {
		return nil, err
	}
	return []byte(w.script()), nil
}

func (w Worker) script() string {
	var b strings.Builder
	fmt.Fprintf(&b, `#!/bin/sh
# Installs gpuworker-guest and its service, made by gpuworker. It can be run again.
set -eu
program=%s
fail() {
  echo "gpuworker: $*" | tee /dev/console >&2
  exit 1
}
`, guest.ProgramFile)
	b.WriteString(w.Program.install())
	fmt.Fprintf(&b, `cat >/etc/systemd/system/gpuworker-guest.service <<'END'
%sEND
systemctl --no-reload enable gpuworker-guest.service
if [ -d /run/systemd/system ]; then
  # On a slow machine a reload at the first boot can take longer than systemctl waits.
  systemctl daemon-reload || systemctl daemon-reload || systemctl daemon-reload
  systemctl start --no-block gpuworker-guest.service
fi
`, unit)
	return b.String()
}

// install returns the part of the script that puts the program in its place.
func (s Source) install() string {
	switch s.Delivery {
	case v1alpha1.DeliveryTemplate:
		return `[ -x "$program" ] || fail "the template has no $program; put it there, or write delivery: SeedISO"
`
	case v1alpha1.DeliveryURL:
		return "sha256=" + s.Download.SHA256 + "\nurl=" + shell.Quote(s.Download.URL) + "\n" + isProgram + download
	case v1alpha1.DeliverySeedISO, v1alpha1.DeliveryGuestAgent:
	}
	var b strings.Builder
	b.WriteString("case \"$(uname -m)\" in\n")
	for _, build := range s.Builds {
		name := "name=" + build.FileName() + " "
		if s.Delivery == v1alpha1.DeliveryGuestAgent {
			name = "" // it is in its place already
		}
		fmt.Fprintf(&b, "%s) %ssha256=%s ;;\n", machineNames[build.Arch], name, build.SHA256)
	}
	b.WriteString("*) fail \"there is no gpuworker-guest for $(uname -m)\" ;;\nesac\n" + isProgram)
	if s.Delivery == v1alpha1.DeliveryGuestAgent {
		return b.String() + `is_program "$program" || fail "$program is missing or has another checksum than $sha256"
`
	}
	return b.String() + copyProgram
}

const (
	isProgram = `is_program() {
  [ -f "$1" ] && echo "$sha256  $1" | sha256sum -c --status -
}
`
	copyProgram = `if ! is_program "$program"; then
  from=${1:-` + seedMountPath + `}/$name
  [ -f "$from" ] || fail "$from is missing: is the ISO of this VM attached, and the only disk with the label ` + VolumeLabel + `?"
  cp "$from" "$program.new"
  is_program "$program.new" || fail "$from has another checksum than $sha256: it was changed, or damaged on the way"
  chmod 0755 "$program.new"
  mv "$program.new" "$program"
fi
`
	download = `if ! is_program "$program"; then
  [ ! -f ` + proxyPath + ` ] || { set -a; . ` + proxyPath + `; set +a; }
  if command -v curl >/dev/null; then
    curl -fsSL --retry 5 --retry-delay 5 -o "$program.new" "$url" || fail "$url cannot be downloaded"
  else
    wget -q -O "$program.new" "$url" || fail "$url cannot be downloaded"
  fi
  is_program "$program.new" || fail "$url has another checksum than $sha256: it is another release, or was changed on the way"
  chmod 0755 "$program.new"
  mv "$program.new" "$program"
fi
`
)

// unit is gpuworker-guest.service. It runs at each boot, so that a reboot or a crash in
// the middle loses nothing, and after cloud-init, which may still use the package
// manager. cloud-final.service comes after multi-user.target on Ubuntu: without
// DefaultDependencies=no, that would be an ordering cycle (systemd.target(5)).
const unit = `[Unit]
Description=Makes this VM a worker (gpuworker-guest)
ConditionPathExists=` + guest.OrdersFile + `
DefaultDependencies=no
Requires=sysinit.target
Wants=network-online.target
After=sysinit.target basic.target network-online.target cloud-final.service
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=oneshot
EnvironmentFile=-` + proxyPath + `
ExecStart=` + guest.ProgramFile + ` bootstrap
TimeoutStartSec=infinity
Restart=on-failure
RestartSec=30

[Install]
WantedBy=multi-user.target
`
