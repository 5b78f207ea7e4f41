package v1alpha1

import (
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// Limits of an operator's parts, so that the whole user-data, in which files may grow by
// a third as base64, stays below 1 MiB: the limit of Proxmox VE for a file of cicustom.
const (
	mostCloudInit  = 512 << 10 // bytes of all files, commands and certificates together
	mostCommand    = 64 << 10  // Linux allows 128 KiB for one argument of a program
	mostParts      = 500       // entries of each list
	mostGuestPath  = 1024
	mostURLLength  = 2048
	sha256HexChars = 64
)

// bootstrap checks the field bootstrap of a pool.
func (o *object) bootstrap(path string, p *WorkerPool) {
	b := p.Spec.Bootstrap
	if b == nil {
		return
	}
	seed, delivery := fieldpath.Under(path, "seed"), fieldpath.Under(path, "delivery")
	oneOf(o, seed, b.Seed, SeedISO, SeedProxmoxCloudInit)
	oneOf(o, delivery, b.Delivery, DeliverySeedISO, DeliveryGuestAgent, DeliveryTemplate, DeliveryURL)
	if b.Seed == SeedProxmoxCloudInit {
		o.proxmoxSeed(path, p, b)
	}
	o.download(fieldpath.Under(path, "download"), b)
	if b.CloudInit != nil {
		o.cloudInit(fieldpath.Under(path, "cloudInit"), b.CloudInit, p.IsGPU())
	}
	if driver.OS(p.Spec.Template.OS).IsRHEL() {
		o.bootstrapRHEL(path, p)
	}
}

// bootstrapRHEL is for RHEL and its rebuilds: they have no apt, and their guest agent
// forbids commands and files. A seed ISO allows them (internal/bootstrap), the cloud-init
// options of Proxmox VE cannot.
func (o *object) bootstrapRHEL(path string, p *WorkerPool) {
	b, os := p.Spec.Bootstrap, driver.OS(p.Spec.Template.OS)
	if b.CloudInit != nil && b.CloudInit.AptMirror != "" {
		o.errorf(fieldpath.Under(fieldpath.Under(path, "cloudInit"), "aptMirror"), "has no effect on %s, which has no apt; write a file under /etc/yum.repos.d with writeFiles", os)
	}
	if b.Seed == SeedProxmoxCloudInit {
		o.warnf(fieldpath.Under(path, "seed"), "the guest agent of %s forbids commands and files, which gpuworker needs, and the cloud-init options of Proxmox VE cannot allow them; allow them in the template, in /etc/sysconfig/qemu-ga and in SELinux (semanage permissive -a virt_qemu_ga_t), or write seed: ISO", os)
	}
}

// proxmoxSeed refuses what the cloud-init options of Proxmox VE cannot carry.
func (o *object) proxmoxSeed(path string, p *WorkerPool, b *Bootstrap) {
	if is, known := o.onProxmox(p); known && !is {
		o.errorf(fieldpath.Under(path, "seed"), "the pool's Hypervisor %s is not Proxmox VE; write ISO", phrase.Quote(p.Spec.Hypervisor))
	}
	if b.Delivery == DeliverySeedISO || b.Delivery == DeliveryURL {
		o.errorf(fieldpath.Under(path, "delivery"), "%s needs seed: ISO; the cloud-init options of Proxmox VE start no program. Write GuestAgent or Template, or seed: ISO", b.Delivery)
	}
	if b.CloudInit != nil {
		o.errorf(fieldpath.Under(path, "cloudInit"), "needs seed: ISO; the cloud-init options of Proxmox VE can set only a user, SSH keys, addresses and DNS")
	}
}

var sha256Form = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (o *object) download(path string, b *Bootstrap) {
	d := b.Download
	switch {
	case b.Delivery == DeliveryURL && d == nil:
		o.errorf(path, "is missing; delivery: URL needs url and sha256 of gpuworker-guest")
		return
	case d == nil:
		return
	case b.Delivery != DeliveryURL:
		o.errorf(path, "is only for delivery: URL; remove it, or write delivery: URL")
	}
	o.webURL(fieldpath.Under(path, "url"), d.URL, "https://mirror.example.org/gpuworker-guest-linux-amd64")
	switch sum := fieldpath.Under(path, "sha256"); {
	case d.SHA256 == "":
		o.errorf(sum, "is missing; sha256sum prints it. Without it, whoever controls the server or the network is root in the guests")
	case !sha256Form.MatchString(d.SHA256):
		o.errorf(sum, "is not a SHA-256 checksum; it has %d hexadecimal digits, as sha256sum prints it", sha256HexChars)
	}
}

// webURL requires a URL of a guest without a login. The URL goes into configuration
// files and scripts, so it has only the characters of RFC 3986, and no quotes. A URL may
// contain a password, so a message never repeats it.
func (o *object) webURL(path, text, example string) {
	u, err := url.Parse(text)
	switch {
	case text == "":
		o.errorf(path, "is missing; write it as %q", example)
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || len(text) > mostURLLength || !urlCharacters.MatchString(text):
		o.errorf(path, "is not an http or https URL; write it as %q", example)
	case u.User != nil:
		o.errorf(path, "contains a user name or password, which everybody who may read the VM could read too; use a server that needs none for this network (if it was a real password, change it)")
	}
}

var urlCharacters = regexp.MustCompile(`^[A-Za-z0-9._~:/?#\[\]@!&()*+,;=%-]+$`)

// cloudInit checks the operator's own parts.
func (o *object) cloudInit(path string, c *CloudInit, gpu bool) {
	o.fewParts(path, c)
	o.guestFiles(fieldpath.Under(path, "writeFiles"), c.WriteFiles, gpu)
	o.distinct(fieldpath.Under(path, "packages"), c.Packages, func(name string) string { return packageProblem(name, gpu) })
	for i, command := range c.RunCommands {
		if wrong := commandProblem(command, gpu); wrong != "" {
			o.errorf(fieldpath.Item(fieldpath.Under(path, "runCommands"), i), "%s", wrong)
		}
	}
	o.distinct(fieldpath.Under(path, "caCertificates"), c.CACertificates, certificateProblem)
	proxy := fieldpath.Under(path, "proxy")
	if c.Proxy.HTTP != "" {
		o.webURL(fieldpath.Under(proxy, "http"), c.Proxy.HTTP, "http://proxy.example.org:3128")
	}
	if c.Proxy.HTTPS != "" && c.Proxy.HTTPS != c.Proxy.HTTP {
		o.webURL(fieldpath.Under(proxy, "https"), c.Proxy.HTTPS, "http://proxy.example.org:3128")
	}
	if len(c.Proxy.NoProxy) > 0 && c.Proxy.HTTP == "" && c.Proxy.HTTPS == "" {
		o.errorf(fieldpath.Under(proxy, "noProxy"), "has no effect without http or https; remove it, or write the proxy")
	}
	o.distinct(fieldpath.Under(proxy, "noProxy"), c.Proxy.NoProxy, noProxyProblem)
	if c.AptMirror != "" {
		o.webURL(fieldpath.Under(path, "aptMirror"), c.AptMirror, "https://mirror.example.org/ubuntu")
	}
	o.distinct(fieldpath.Under(path, "ntpServers"), c.NTPServers, timeServerProblem)
}

// fewParts bounds the size of all parts together, and the number of each.
func (o *object) fewParts(path string, c *CloudInit) {
	size := 0
	for _, f := range c.WriteFiles {
		size += len(f.Content)
	}
	for _, text := range append(append([]string{}, c.RunCommands...), c.CACertificates...) {
		size += len(text)
	}
	if size > mostCloudInit {
		o.errorf(path, "the files, commands and certificates have %d bytes, but the limit is %d; put large files on a server, and get them with a command and a checksum", size, mostCloudInit)
	}
	for _, list := range []struct {
		field string
		size  int
	}{
		{"writeFiles", len(c.WriteFiles)},
		{"packages", len(c.Packages)},
		{"runCommands", len(c.RunCommands)},
		{"caCertificates", len(c.CACertificates)},
		{"ntpServers", len(c.NTPServers)},
	} {
		if list.size > mostParts {
			o.errorf(fieldpath.Under(path, list.field), "%d entries are too many; the limit is %d", list.size, mostParts)
		}
	}
}

var (
	permissionsForm = regexp.MustCompile(`^0?[0-7]{3,4}$`)
	ownerForm       = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}(:[a-z_][a-z0-9_-]{0,31})?$`)
)

func (o *object) guestFiles(field string, files []GuestFile, gpu bool) {
	first := map[string]int{}
	for i, f := range files {
		at := fieldpath.Item(field, i)
		if wrong := guestPathProblem(f.Path); wrong != "" {
			o.errorf(fieldpath.Under(at, "path"), "%s", wrong)
		} else if n, twice := first[f.Path]; twice {
			o.errorf(fieldpath.Under(at, "path"), "%s is written twice, first in %s", phrase.Quote(f.Path), fieldpath.Item(field, n))
		} else {
			first[f.Path] = i
		}
		if f.Permissions != "" && !permissionsForm.MatchString(f.Permissions) {
			o.errorf(fieldpath.Under(at, "permissions"), "%s is not a mode in octal; write for example \"0600\"", phrase.Quote(f.Permissions))
		}
		if f.Owner != "" && !ownerForm.MatchString(f.Owner) {
			o.errorf(fieldpath.Under(at, "owner"), "%s is not an owner; write for example \"root:root\"", phrase.Quote(f.Owner))
		}
		if wrong := contentProblem(f, gpu); wrong != "" {
			o.errorf(fieldpath.Under(at, "content"), "%s", wrong)
		}
	}
}

// guestPathProblem requires the path of a file that is not ours.
func guestPathProblem(name string) string {
	switch {
	case name == "":
		return "is missing; write the absolute path of the file"
	case !strings.HasPrefix(name, "/") || path.Clean(name) != name || name == "/" || len(name) > mostGuestPath || strings.ContainsFunc(name, isControl):
		return phrase.Quote(name) + ` is not the path of a file; write an absolute path without "." and "..", for example "/etc/motd"`
	}
	if why := ReservedPath(name); why != "" {
		return phrase.Quote(name) + " cannot be written: " + why
	}
	return ""
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }

// rebootSetting and upgradeSetting match settings of unattended-upgrades (apt) and
// dnf-automatic that reboot a guest, or upgrade its kernel and driver, by themselves.
var (
	rebootSetting  = regexp.MustCompile(`(?im)^\s*(?:Unattended-Upgrade::Automatic-Reboot\s+"?(?:true|1|yes|on)|reboot\s*=\s*when-)`)
	upgradeSetting = regexp.MustCompile(`(?im)^\s*(?:APT::Periodic::Unattended-Upgrade\s+"?(?:[1-9]|always)|apply_updates\s*=\s*(?:yes|true|1))`)
)

// contentProblem refuses settings that undo what gpuworker does.
func contentProblem(f GuestFile, gpu bool) string {
	settings := strings.HasPrefix(f.Path, "/etc/apt/") || strings.HasPrefix(f.Path, "/etc/dnf/")
	switch {
	case strings.Contains(f.Content, "-----BEGIN") && strings.Contains(f.Content, "PRIVATE KEY-----"):
		return "has a PRIVATE key, and a document is no place for secrets: whoever may read the document, the VM or its ISO has the key. Write it into the guest after the bootstrap (if it was a real key, make a new one)"
	case settings && rebootSetting.MatchString(f.Content):
		return "lets the guest reboot by itself, without a drain of its node; leave it out, and restart workers with gpuworker"
	case settings && gpu && upgradeSetting.MatchString(f.Content):
		return upgradesRefused
	}
	return ""
}

// upgradesRefused is the reason against upgrades of a GPU worker.
const upgradesRefused = "upgrades kernel or driver of a GPU worker while it works: libraries and loaded module then differ (\"Driver/library version mismatch\"), and pods lose the GPU until a reboot. Leave it out, and upgrade the template"

var packageForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+_:~=@*^-]{0,199}$`)

// packageProblem requires the name of a package, on Debian and Ubuntu with an optional
// version after "=".
func packageProblem(name string, gpu bool) string {
	bare, _, _ := strings.Cut(name, "=")
	switch {
	case !packageForm.MatchString(name):
		return phrase.Quote(name) + ` is not the name of a package; write for example "nfs-common", or "nfs-common=VERSION"`
	case gpu && (bare == "unattended-upgrades" || bare == "dnf-automatic" || bare == "yum-cron"):
		return bare + " " + upgradesRefused
	}
	return ""
}

func certificateProblem(text string) string {
	if strings.Contains(text, "PRIVATE KEY") {
		return "this is a PRIVATE key: it must never be in a document. Write the certificate of the authority, and make a new key pair if this was a real one"
	}
	rest, found := []byte(text), 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if _, err := x509.ParseCertificate(block.Bytes); block.Type != "CERTIFICATE" || err != nil {
			return "is damaged: a block in it is not a certificate; copy the whole PEM file"
		}
		found++
	}
	if found == 0 || len(strings.TrimSpace(string(rest))) > 0 || !isASCII(text) {
		return "is not a certificate in PEM; it begins with -----BEGIN CERTIFICATE-----"
	}
	return ""
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > 0x7e || isControl(r) && r != '\n' && r != '\r' && r != '\t' })
}

var noProxyForm = regexp.MustCompile(`^[A-Za-z0-9.:/*_\[\]-]{1,253}$`)

func noProxyProblem(text string) string {
	if !noProxyForm.MatchString(text) {
		return phrase.Quote(text) + ` is not a host, domain or network; write for example ".example.org" or "10.0.0.0/8"`
	}
	return ""
}

func timeServerProblem(text string) string {
	if _, err := netip.ParseAddr(text); err != nil && len(validation.IsDNS1123Subdomain(strings.ToLower(text))) > 0 {
		return phrase.Quote(text) + ` is not a time server; write a name or an address, for example "ntp.example.org"`
	}
	return ""
}
