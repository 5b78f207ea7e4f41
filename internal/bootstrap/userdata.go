package bootstrap

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// Files in the guest that only the seed uses.
const (
	scriptPath    = "/etc/gpuworker/gpu-bootstrap.sh"
	agentPath     = "/etc/gpuworker/guest-agent.sh"
	proxyPath     = "/etc/gpuworker/proxy.env"
	aptConfPath   = "/etc/apt/apt.conf.d/52gpuworker"
	seededPath    = "/var/lib/gpuworker/seeded"
	seedMountPath = "/run/gpuworker-seed"
)

// identity returns what must be in each seed: the name of the guest, which cloud-init
// sets at each boot, and who may log in.
func (w Worker) identity() []entry {
	fqdn := ""
	if len(w.DNS.Search) > 0 {
		fqdn = w.Name + "." + strings.TrimSuffix(w.DNS.Search[0], ".")
	}
	var user, root *yaml.Node
	if w.Access.User != "" {
		user = inline(mapping(entry{"name", text(w.Access.User)})) // the name alone is deprecated since cloud-init 22.2
	}
	if w.Access.User == "root" {
		root = flag(false)
	}
	return []entry{
		{"hostname", text(w.Name)},
		{"fqdn", optional(fqdn)},
		{"preserve_hostname", flag(false)},
		{"manage_etc_hosts", text("localhost")},
		// As Proxmox VE does: the default user of the image, with its groups and rights,
		// under this name.
		{"user", user},
		{"users", inline(texts("default"))},
		{"disable_root", root},
		{"ssh_pwauth", flag(false)},
		{"ssh_authorized_keys", texts(w.Access.SSHKeys...)},
	}
}

// userData returns the configuration for the first boot.
func (w Worker) userData() (*yaml.Node, error) {
	files, err := w.writeFiles()
	if err != nil {
		return nil, err
	}
	p := w.Parts
	var locale *yaml.Node
	if w.OS.IsDebian() {
		locale = text("C.UTF-8") // Debian's images have no other
	}
	var update *yaml.Node
	if len(p.Packages) > 0 {
		update = flag(true)
	}
	entries := append(w.identity(),
		entry{"locale", locale},
		entry{"bootcmd", w.bootCommands()},
		entry{"ca_certs", caCerts(p.CACertificates)},
		entry{"apt", w.apt()},
		entry{"ntp", ntp(p.NTPServers)},
		entry{"write_files", files},
		entry{"package_update", update},
		entry{"package_upgrade", flag(false)},
		entry{"package_reboot_if_required", flag(false)},
		entry{"packages", texts(p.Packages...)},
		entry{"runcmd", w.runCommands()},
	)
	return mapping(entries...), nil
}

func caCerts(list []string) *yaml.Node {
	if len(list) == 0 {
		return nil
	}
	return mapping(entry{"trusted", texts(list...)})
}

func ntp(servers []string) *yaml.Node {
	if len(servers) == 0 {
		return nil
	}
	return mapping(entry{"enabled", flag(true)}, entry{"servers", texts(servers...)})
}

// apt returns mirror and proxy of apt. On other systems cloud-init ignores them.
func (w Worker) apt() *yaml.Node {
	p := w.Parts
	if w.OS.IsRHEL() || p.AptMirror == "" && p.Proxy.HTTP == "" && p.Proxy.HTTPS == "" {
		return nil
	}
	mirror := func() *yaml.Node {
		if p.AptMirror == "" {
			return nil
		}
		return sequence(mapping(entry{"arches", inline(texts("default"))}, entry{"uri", text(p.AptMirror)}))
	}
	return mapping(
		entry{"primary", mirror()}, entry{"security", mirror()},
		entry{"http_proxy", optional(p.Proxy.HTTP)}, entry{"https_proxy", optional(p.Proxy.HTTPS)},
	)
}

// writeFiles returns our files and the operator's.
func (w Worker) writeFiles() (*yaml.Node, error) {
	orders, err := json.MarshalIndent(w.Orders, "", "  ")
	if err != nil {
		return nil, err
	}
	ours := []v1alpha1.GuestFile{
		{Path: guest.OrdersFile, Content: string(orders) + "\n", Permissions: "0600"},
		{Path: scriptPath, Content: w.script(), Permissions: "0700"},
		{Path: agentPath, Content: agentScript, Permissions: "0700"},
	}
	if w.hasProxy() {
		ours = append(ours, v1alpha1.GuestFile{Path: proxyPath, Content: w.proxyEnvironment(), Permissions: "0600"})
	}
	if w.Orders.GPU != nil && !w.OS.IsRHEL() {
		ours = append(ours, v1alpha1.GuestFile{Path: aptConfPath, Content: aptConf, Permissions: "0644"})
	}
	var items []*yaml.Node
	for _, f := range append(ours, w.Parts.WriteFiles...) {
		items = append(items, writeFile(f))
	}
	if w.OS.IsRHEL() && w.Parts.Proxy.HTTP != "" {
		items = append(items, mapping(
			entry{"path", text("/etc/dnf/dnf.conf")}, entry{"append", flag(true)},
			entry{"content", text("proxy=" + w.Parts.Proxy.HTTP + "\n")},
		))
	}
	return sequence(items...), nil
}

// writeFile returns one file. A file of a user must wait until cloud-init has made the
// users, which it does after it writes files.
func writeFile(f v1alpha1.GuestFile) *yaml.Node {
	var deferred, owner, encoding, permissions *yaml.Node
	if f.Owner != "" && f.Owner != "root:root" && f.Owner != "root" {
		owner = text(f.Owner)
	}
	if owner != nil || strings.HasPrefix(f.Path, "/home/") {
		deferred = flag(true)
	}
	if f.Permissions != "" {
		permissions = quoted("0" + strings.TrimLeft(f.Permissions, "0"))
	}
	content := text(f.Content)
	if !isPlainText(f.Content) || !utf8.ValidString(f.Content) {
		encoding, content = text("b64"), text(base64.StdEncoding.EncodeToString([]byte(f.Content)))
	}
	return mapping(
		entry{"path", text(f.Path)}, entry{"permissions", permissions}, entry{"owner", owner},
		entry{"defer", deferred}, entry{"encoding", encoding}, entry{"content", content},
	)
}

func quoted(value string) *yaml.Node {
	node := text(value)
	node.Style = yaml.DoubleQuotedStyle
	return node
}

// aptConf keeps unattended upgrades, which Ubuntu's images do, away from the driver and
// the kernel: libraries of another version than the loaded module have no GPU.
const aptConf = `// Driver and kernel of a GPU worker are changed only together. Made by gpuworker.
Unattended-Upgrade::Package-Blacklist {
  "^nvidia-";
  "^libnvidia-";
  "^linux-";
  "^cuda-";
};
Unattended-Upgrade::Automatic-Reboot "false";
`

func (w Worker) hasProxy() bool { return w.Parts.Proxy.HTTP != "" || w.Parts.Proxy.HTTPS != "" }

// proxyEnvironment is read by a shell and by systemd.
func (w Worker) proxyEnvironment() string {
	var b strings.Builder
	for _, variable := range []struct{ name, value string }{
		{"http_proxy", w.Parts.Proxy.HTTP},
		{"https_proxy", w.Parts.Proxy.HTTPS},
		{"no_proxy", strings.Join(w.Parts.Proxy.NoProxy, ",")},
	} {
		if variable.value != "" {
			for _, name := range []string{variable.name, strings.ToUpper(variable.name)} {
				b.WriteString(name + "=" + shell.Quote(variable.value) + "\n")
			}
		}
	}
	return b.String()
}

// bootCommands run at each boot, before all else. cloud-init marks a module as done
// before it runs it (Semaphores in cloudinit/helpers.py), so after a power cut in the
// first boot the rest would never run. Until the seed was used to its end, the marks are
// removed, and cloud-init runs its modules again.
func (w Worker) bootCommands() *yaml.Node {
	commands := []*yaml.Node{texts("sh", "-c", repeatFirstBoot, "gpuworker-seed", w.UUID)}
	if w.OS == "" || w.OS.IsRHEL() {
		commands = append(commands, texts("sh", "-c", allowAgent, "gpuworker-seed", w.UUID))
	}
	if w.Program.Delivery == v1alpha1.DeliverySeedISO {
		commands = append(commands, texts("sh", "-c", mountSeed, "gpuworker-seed", w.UUID))
	}
	return sequence(commands...)
}

const (
	repeatFirstBoot = `[ "$(cat ` + seededPath + ` 2>/dev/null)" = "$1" ] || rm -f /var/lib/cloud/instance/sem/config_*`
	// /run is mounted noexec on Debian, so the program is copied from there.
	mountSeed = `[ "$(cat ` + seededPath + ` 2>/dev/null)" = "$1" ] || { mkdir -p ` + seedMountPath + ` && { mountpoint -q ` + seedMountPath + ` || mount -o ro LABEL=` + VolumeLabel + ` ` + seedMountPath + `; }; }`
	// The mark is written only after the program was installed. With delivery GuestAgent
	// the engine runs the script, after it has delivered.
	markSeeded = `mkdir -p /var/lib/gpuworker && echo "$1" >` + seededPath + ` && sync`
	install    = `sh ` + scriptPath + ` && ` + markSeeded
	// A mounted CD cannot be exchanged. The exit code is that of the installation, for
	// cloud-init status.
	installAndUnmount = install + `; code=$?; ! mountpoint -q ` + seedMountPath + ` || umount ` + seedMountPath + `; exit $code`
	withProxy         = `set -a; . ` + proxyPath + `; set +a; exec sh -c "$1"`
)

// runCommands returns the commands at the end of the first boot. Each of the operator's
// is an argument of its own shell, so that none can end or change the others.
func (w Worker) runCommands() *yaml.Node {
	run := func(command string) *yaml.Node {
		if w.hasProxy() {
			return texts("sh", "-c", withProxy, "gpuworker-seed", command)
		}
		return texts("sh", "-c", command)
	}
	commands := []*yaml.Node{run("sh " + agentPath)}
	for _, command := range w.Parts.RunCommands {
		commands = append(commands, run(command))
	}
	end := install
	switch w.Program.Delivery {
	case v1alpha1.DeliveryGuestAgent:
		end = markSeeded
	case v1alpha1.DeliverySeedISO:
		end = installAndUnmount
	case v1alpha1.DeliveryTemplate, v1alpha1.DeliveryURL:
	}
	return sequence(append(commands, texts("sh", "-c", end, "gpuworker-seed", w.UUID))...)
}
