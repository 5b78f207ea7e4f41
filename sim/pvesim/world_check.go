package pvesim

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// problems collects the problems of a world, so that all of them are reported at once.
type problems []error

func (p *problems) add(format string, args ...any) {
	*p = append(*p, fmt.Errorf("world: "+format, args...))
}

var (
	hostForm    = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$`)
	versionForm = regexp.MustCompile(`^(8|9)\.\d+(\.\d+)?$`)
	userForm    = regexp.MustCompile(`^[^\s:/!]+@[A-Za-z][A-Za-z0-9._-]+$`)
	tokenForm   = regexp.MustCompile(`^[^\s:/!]+@[A-Za-z][A-Za-z0-9._-]+![A-Za-z][A-Za-z0-9._-]+$`)
)

func (w *World) validate() error {
	var p problems
	if !versionForm.MatchString(w.Version) {
		p.add("version %q: want 8.x or 9.x, such as 9.1.4", w.Version)
	}
	if _, err := parseRelease(w.HTTPServer); w.HTTPServer != "" && err != nil {
		p.add("httpServer: %v", err)
	}
	if w.Workers < 0 {
		p.add("workers is %d, want 0 or more", w.Workers)
	}
	hosts := w.checkHosts(&p)
	storages := w.checkStorages(&p, hosts)
	w.checkAccess(&p)
	w.checkVMs(&p, hosts, storages)
	w.checkMappings(&p)
	w.checkRest(&p)
	return errors.Join(p...)
}

func (w *World) checkHosts(p *problems) map[string]bool {
	hosts := map[string]bool{}
	if len(w.Hosts) == 0 {
		p.add("no hosts: a cluster has at least one")
	}
	for _, h := range w.Hosts {
		if !hostForm.MatchString(h.Name) {
			p.add("host %q: not a host name", h.Name)
		}
		if hosts[h.Name] {
			p.add("host %q: given twice", h.Name)
		}
		hosts[h.Name] = true
		if h.CPUs < 1 || h.CPUs > 8192 {
			p.add("host %q: cpus is %d, want 1 to 8192", h.Name, h.CPUs)
		}
		if !(h.MemoryGiB > 0 && h.MemoryGiB <= 65536) {
			p.add("host %q: memoryGiB is %g, want more than 0 and at most 65536", h.Name, h.MemoryGiB)
		}
		checkPCI(p, h)
		bridges := map[string]bool{}
		for _, b := range h.Bridges {
			if b.Name == "" || bridges[b.Name] {
				p.add("host %q: bridge %q has no name or comes twice", h.Name, b.Name)
			}
			bridges[b.Name] = true
			if _, err := netip.ParsePrefix(b.CIDR); b.CIDR != "" && err != nil {
				p.add("host %q: bridge %q: cidr %q is not an address with a prefix length", h.Name, b.Name, b.CIDR)
			}
		}
	}
	return hosts
}

func checkPCI(p *problems, h Host) {
	seen := map[string]bool{}
	for _, f := range h.PCI {
		bdf, err := pci.ParseBDF(f.Address)
		switch {
		case err != nil:
			p.add("host %q: %v", h.Name, err)
		case bdf.String() != f.Address:
			p.add("host %q: address %q: write it as %q", h.Name, f.Address, bdf)
		case seen[f.Address]:
			p.add("host %q: address %q: given twice", h.Name, f.Address)
		}
		seen[f.Address] = true
		if _, err := pci.ParseClass(f.Class); err != nil || !strings.HasPrefix(f.Class, "0x") || len(f.Class) != 8 {
			p.add("host %q: %s: class %q: want six digits, such as 0x030200", h.Name, f.Address, f.Class)
		}
		for _, id := range []string{f.ID, f.Subsystem} {
			if parsed, err := pci.ParseID(id); (id != "" || id == f.ID) && (err != nil || parsed.String() != id) {
				p.add("host %q: %s: id %q: want vendor:device, such as 10de:1eb8", h.Name, f.Address, id)
			}
		}
		if !slices.Contains([]string{"", "info", "bind", "group", "reset"}, f.Broken) {
			p.add("host %q: %s: broken %q: there are info, bind, group, reset", h.Name, f.Address, f.Broken)
		}
		if f.Group < -1 {
			p.add("host %q: %s: group %d: want a group, or -1 for none", h.Name, f.Address, f.Group)
		}
	}
}

var storageTypes = []string{"dir", "nfs", "lvmthin"}

func (w *World) checkStorages(p *problems, hosts map[string]bool) map[string]Storage {
	storages := map[string]Storage{}
	contents := []string{"images", "rootdir", "iso", "vztmpl", "backup", "snippets", "import"}
	for _, s := range w.Storages {
		if !storageForm.MatchString(s.Name) {
			p.add("storage %q: not a storage name", s.Name)
		}
		if _, twice := storages[s.Name]; twice {
			p.add("storage %q: given twice", s.Name)
		}
		storages[s.Name] = s
		if !slices.Contains(storageTypes, s.Type) {
			p.add("storage %q: type %q is not simulated; there are %s", s.Name, s.Type, strings.Join(storageTypes, ", "))
		}
		if s.Type == "lvmthin" && s.Shared {
			p.add("storage %q: lvmthin cannot be shared", s.Name)
		}
		for _, c := range s.Content {
			if !slices.Contains(contents, c) {
				p.add("storage %q: content %q: there are %s", s.Name, c, strings.Join(contents, ", "))
			}
		}
		for _, n := range s.Nodes {
			if !hosts[n] {
				p.add("storage %q: node %q is not a host of this world", s.Name, n)
			}
		}
		for _, n := range s.Offline {
			if !hosts[n] || s.Type == "lvmthin" {
				p.add("storage %q: offline on %q: needs a host of this world, and is not simulated for lvmthin", s.Name, n)
			}
		}
		if s.Allocate < 0 {
			p.add("storage %q: allocate must not be negative", s.Name)
		}
		if s.CapacityGiB < 0 || s.CapacityGiB > 1<<30 {
			p.add("storage %q: capacityGiB is %g", s.Name, s.CapacityGiB)
		}
		for _, v := range s.Volumes {
			if v.Name == "" || v.Size < 0 || v.Host != "" && !hosts[v.Host] {
				p.add("storage %q: volume %q: needs a name, a size of 0 or more and, if any, a known host", s.Name, v.Name)
			}
		}
	}
	return storages
}

func (w *World) checkAccess(p *problems) {
	caller := map[string]bool{}
	for _, u := range w.Users {
		if !userForm.MatchString(u.ID) || caller[u.ID] {
			p.add("user %q: want name@realm, each once", u.ID)
		}
		caller[u.ID] = true
	}
	if !caller["root@pam"] {
		p.add("user root@pam is missing: every installation has it")
	}
	for _, t := range w.Tokens {
		user, _, _ := strings.Cut(t.ID, "!")
		if !tokenForm.MatchString(t.ID) || caller[t.ID] || !caller[user] {
			p.add("token %q: want user@realm!name of a known user, each once", t.ID)
		}
		if t.Secret == "" {
			p.add("token %q: no secret", t.ID)
		}
		caller[t.ID] = true
	}
	for _, g := range w.Groups {
		caller["@"+g.ID] = true
		for _, u := range g.Users {
			if !caller[u] {
				p.add("group %q: user %q is not known", g.ID, u)
			}
		}
	}
	w.checkRoles(p, caller)
}

// checkRoles checks the roles and the access rules.
func (w *World) checkRoles(p *problems, caller map[string]bool) {
	privileges := allPrivileges(w.major())
	for role, privs := range w.Roles {
		for _, priv := range privs {
			if !slices.Contains(privileges, priv) {
				p.add("role %q: privilege %q does not exist in Proxmox VE %s", role, priv, w.Version)
			}
		}
	}
	builtin := builtinRoles(w.major())
	for _, a := range w.ACL {
		if !caller[a.Subject] {
			p.add("acl on %q: %q is no user, token or @group", a.Path, a.Subject)
		}
		if w.Roles[a.Role] == nil && builtin[a.Role] == nil {
			p.add("acl on %q: role %q is not known", a.Path, a.Role)
		}
		if !strings.HasPrefix(a.Path, "/") {
			p.add("acl: path %q does not begin with /", a.Path)
		}
	}
}

func (w *World) checkMappings(p *problems) {
	seen := map[string]bool{}
	for _, m := range w.Mappings {
		if !configIDForm.MatchString(m.ID) || seen[m.ID] {
			p.add("mapping %q: not an id, or given twice", m.ID)
		}
		seen[m.ID] = true
		if len(m.Map) == 0 {
			p.add("mapping %q: map is empty", m.ID)
		}
		for i, entry := range m.Map {
			if text := mapEntryFormat.check(fmt.Sprintf("map[%d]", i), entry); text != "" {
				p.add("mapping %q: %q: %s", m.ID, entry, strings.TrimSpace(text))
			}
		}
	}
}

func (w *World) checkRest(p *problems) {
	pools := map[string]bool{}
	for _, pool := range w.Pools {
		if pool.ID == "" || pools[pool.ID] {
			p.add("pool %q: no id, or given twice", pool.ID)
		}
		pools[pool.ID] = true
	}
	for _, v := range w.VMs {
		if v.Pool != "" && !pools[v.Pool] {
			p.add("vm %d: pool %q is not known", v.ID, v.Pool)
		}
	}
	if !slices.Contains([]string{"", "free", "existing", "list", "none"}, w.Datacenter.UserTags) {
		p.add("datacenter: userTags %q: there are free, existing, list, none", w.Datacenter.UserTags)
	}
	for i, f := range w.Faults {
		if err := f.validate(); err != nil {
			p.add("fault %d (%s): %v", i, f.Name, err)
		}
		if f.Effect == QuorumLost && w.Cluster == "" {
			p.add("fault %d (%s): %v", i, f.Name, errNoCluster)
		}
	}
	if w.Timings != nil {
		if err := w.Timings.validate(); err != nil {
			p.add("timings: %v", err)
		}
	}
}

// major is the major version of the product, 8 or 9.
func (w *World) major() int {
	if strings.HasPrefix(w.Version, "8.") {
		return 8
	}
	return 9
}
