package pvesim

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

func cloudInitCalls() []call {
	path := "/nodes/{node}/qemu/{vmid}/cloudinit"
	audit := perm("/vms/{vmid}", "VM.Audit")
	return []call{
		{method: "GET", path: path, may: audit, serve: (*Sim).cloudInit},
		{method: "PUT", path: path, may: perm("/vms/{vmid}", "VM.Config.Cloudinit"), serve: (*Sim).regenerateCloudInit, protected: true},
		{method: "GET", path: path + "/dump", may: audit, serve: (*Sim).dumpCloudInit, params: specs{"type": oneOf("user", "network", "meta").req()}},
	}
}

// cloudInit lists the options of the cloud-init drive.
func (s *Sim) cloudInit(r *request) (any, error) {
	v, err := s.vmOn(r.node(), r.vmid())
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, key := range slices.Sorted(slices.Values(cloudInitOptions)) {
		if entry := v.seedEntry(key); entry != nil {
			out = append(out, entry)
		}
	}
	return out, nil
}

// seedEntry is an option of the cloud-init drive; nil if it is not set. Changes after
// the drive of a running VM was written are not in the drive yet.
func (v *vm) seedEntry(key string) map[string]any {
	given := func(value string) bool { return value != "" && value != "0" }
	is := v.conf[key]
	was := is
	if v.run != nil {
		was = v.run.seed[key]
	}
	switch {
	case !given(is) && !given(was):
		return nil
	case !given(is):
		return map[string]any{"key": key, "delete": 1}
	case !given(was):
		return map[string]any{"key": key, "pending": typed(key, is)}
	case is != was:
		return map[string]any{"key": key, "value": typed(key, was), "pending": typed(key, is)}
	}
	return map[string]any{"key": key, "value": typed(key, is)}
}

// regenerateCloudInit rewrites the drive. Drives have no content here, so it only
// checks whether the call would succeed.
func (s *Sim) regenerateCloudInit(r *request) (any, error) {
	v, err := s.vmOn(r.node(), r.vmid())
	if err != nil {
		return nil, err
	}
	if err := v.checkLock(); err != nil {
		return nil, err
	}
	if err := s.writable(v, workerPID); err != nil {
		return nil, err
	}
	if v.run != nil {
		v.run.seed = maps.Clone(v.conf)
	}
	s.changed(VMConfigured, v.node, v.id, "")
	return nil, nil
}

// dumpCloudInit returns the content that is generated from the options, without
// cicustom.
func (s *Sim) dumpCloudInit(r *request) (any, error) {
	v, err := s.vmOn(r.node(), r.vmid())
	if err != nil {
		return nil, err
	}
	switch r.args.get("type") {
	case "user":
		return v.userData(), nil
	case "network":
		return v.networkData(), nil
	}
	return fmt.Sprintf("instance-id: %s\n", sha1Hex(v.userData()+v.networkData())), nil
}

// makeSeed writes the cloud-init drive at each start. The files of cicustom must exist.
func (s *Sim) makeSeed(t *task, v *vm) error {
	for _, key := range diskKeys {
		if v.conf[key] == "" || !parseDrive(v.conf[key]).isCloudInit() {
			continue
		}
		sum := int64(len(v.userData()) + len(v.networkData()))
		for _, part := range []string{"network", "user", "meta", "vendor"} {
			volid := cicustomFormat.parse(v.conf["cicustom"])[part]
			if volid == "" {
				continue
			}
			_, vol := s.volumeOf(v.node, drive{file: volid})
			switch {
			case vol != nil && vol.content != "snippets":
				return die("%s is not in the snippets directory", volid)
			case vol == nil:
				return die("volume '%s' does not exist", volid)
			case vol.size > mib:
				st := s.storages[volid[:strings.Index(volid, ":")]]
				return die("file '%s' too long - aborting", st.path(vol))
			}
			sum += vol.size
		}
		if sum > 3*mib {
			return die("Cloud-Init sum of snippets too big (> 3 MiB)")
		}
		t.note("generating cloud-init ISO")
	}
	return nil
}

func (v *vm) userData() string {
	name := v.name()
	if name == "" {
		name = fmt.Sprint("VM", v.id)
	}
	fqdn := name
	if domain := v.conf["searchdomain"]; domain != "" {
		fqdn += "." + domain
	}
	var b strings.Builder
	fmt.Fprintf(&b, "#cloud-config\nhostname: %s\nmanage_etc_hosts: true\nfqdn: %s\n", name, fqdn)
	if user := v.conf["ciuser"]; user != "" {
		fmt.Fprintf(&b, "user: %s\n", user)
		if user == "root" {
			b.WriteString("disable_root: False\n")
		}
	}
	if password := v.conf["cipassword"]; password != "" {
		fmt.Fprintf(&b, "password: %s\n", password)
	}
	if keys, err := url.PathUnescape(v.conf["sshkeys"]); err == nil && strings.TrimSpace(keys) != "" {
		b.WriteString("ssh_authorized_keys:\n")
		for key := range strings.Lines(keys) {
			fmt.Fprintf(&b, "  - %s\n", strings.TrimSpace(key))
		}
	}
	b.WriteString("chpasswd:\n  expire: False\n")
	if v.conf["ciuser"] != "root" {
		b.WriteString("users:\n  - default\n")
	}
	if v.conf["ciupgrade"] != "0" {
		b.WriteString("package_upgrade: true\n")
	}
	return b.String()
}

// networkData is the network configuration, version 1: the interfaces with an ipconfig,
// then the name servers.
func (v *vm) networkData() string {
	var b strings.Builder
	b.WriteString("version: 1\nconfig:\n")
	for i := range indexed["net"] + 1 {
		card, config := v.conf[fmt.Sprint("net", i)], v.conf[fmt.Sprint("ipconfig", i)]
		if card == "" || config == "" {
			continue
		}
		mac, _ := netAddress(card)
		fmt.Fprintf(&b, "    - type: physical\n      name: eth%d\n      mac_address: '%s'\n      subnets:\n", i, strings.ToLower(mac))
		props := ipFormat.parse(config)
		writeSubnet(&b, props["ip"], props["gw"], map[string]string{"dhcp": "dhcp4"})
		writeSubnet(&b, props["ip6"], props["gw6"], map[string]string{"dhcp": "dhcp6", "auto": "ipv6_slaac"})
	}
	servers, domain := splitList(v.conf["nameserver"]), v.conf["searchdomain"]
	if len(servers) > 0 || domain != "" {
		b.WriteString("    - type: nameserver\n      address:\n")
		for _, server := range servers {
			fmt.Fprintf(&b, "      - '%s'\n", server)
		}
		if domain != "" {
			fmt.Fprintf(&b, "      search:\n      - '%s'\n", domain)
		}
	}
	return b.String()
}

func writeSubnet(b *strings.Builder, ip, gateway string, words map[string]string) {
	if ip == "" {
		return
	}
	if kind, ok := words[ip]; ok {
		fmt.Fprintf(b, "      - type: %s\n", kind)
		return
	}
	prefix, err := netip.ParsePrefix(ip)
	switch {
	case err != nil:
		return
	case prefix.Addr().Is4():
		mask := net.IP(net.CIDRMask(prefix.Bits(), 32))
		fmt.Fprintf(b, "      - type: static\n        address: '%s'\n        netmask: '%s'\n", prefix.Addr(), mask)
	default:
		fmt.Fprintf(b, "      - type: static6\n        address: '%s'\n", prefix)
	}
	if gateway != "" {
		fmt.Fprintf(b, "        gateway: '%s'\n", gateway)
	}
}

// hashPassword returns the text that replaces a password in the configuration. It looks
// like a crypt(3) hash and is the same for the same password, but is not a real hash.
func (s *Sim) hashPassword(password string) string {
	if password == "" || strings.HasPrefix(password, "$") {
		return password
	}
	const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte(password))
	sum := mac.Sum(nil)
	text := make([]byte, 51)
	for i := range text {
		text[i] = alphabet[(int(sum[i%len(sum)])+i)%len(alphabet)]
	}
	return "$5$" + string(text[:8]) + "$" + string(text[8:])
}
