package capture

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// scalar is a value as text. The API returns the same option sometimes as a number and
// sometimes as a string, and booleans as 0, 1, "1" or true.
type scalar string

// UnmarshalJSON accepts strings, numbers, booleans and null.
func (s *scalar) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	switch {
	case bytes.Equal(data, []byte("null")), bytes.Equal(data, []byte("false")):
		*s = ""
	case bytes.Equal(data, []byte("true")):
		*s = "1"
	case len(data) > 0 && data[0] == '"':
		return json.Unmarshal(data, (*string)(s))
	case len(data) > 0 && (data[0] == '{' || data[0] == '['):
		return fmt.Errorf("must be a string or a number, not %.20s", data)
	default:
		*s = scalar(data)
	}
	return nil
}

func (s scalar) set() bool { return s != "" && s != "0" }

// number returns the value as a number; 0 if it is not one or too large.
func (s scalar) number() float64 {
	n, err := strconv.ParseFloat(string(s), 64)
	if err != nil || !(n >= 0 && n < 1<<60) {
		return 0
	}
	return n
}

func (s scalar) integer() int { return int(s.number()) }

// number is an integer that may also be a string.
type number int

// UnmarshalJSON accepts both.
func (n *number) UnmarshalJSON(data []byte) error {
	var text scalar
	err := text.UnmarshalJSON(data)
	*n = number(text.integer())
	return err
}

// texts is a list, or a string that contains a list.
type texts []string

// UnmarshalJSON accepts both.
func (t *texts) UnmarshalJSON(data []byte) error {
	var list []string
	if json.Unmarshal(data, &list) == nil {
		*t = list
		return nil
	}
	var text scalar
	if err := text.UnmarshalJSON(data); err != nil {
		return err
	}
	*t = split(string(text))
	return nil
}

// split splits a list like Proxmox VE: at commas, semicolons and blanks.
func split(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(",; \t\n", r) })
}

// properties is an object, or a property string ("lower=100,upper=200").
type properties map[string]texts

// UnmarshalJSON accepts both.
func (p *properties) UnmarshalJSON(data []byte) error {
	object := map[string]texts{}
	if err := json.Unmarshal(data, &object); err == nil {
		*p = object
		return nil
	}
	var text scalar
	if err := text.UnmarshalJSON(data); err != nil {
		return err
	}
	*p = properties{}
	for part := range strings.SplitSeq(string(text), ",") {
		if key, value, ok := strings.Cut(part, "="); ok {
			(*p)[key] = split(value)
		}
	}
	return nil
}

func (p properties) integer(key string) int {
	if len(p[key]) == 0 {
		return 0
	}
	return scalar(p[key][0]).integer()
}

// The answers of the calls, reduced to the fields that a world supports. Sources: the
// API's own schema (pvesh usage, apidoc.js) and recordings of 9.2.
type (
	apiVersion struct {
		Version string `json:"version"`
		RepoID  string `json:"repoid"`
	}
	apiNode struct {
		Node   string `json:"node"`
		Status string `json:"status"` // online, offline, unknown
		MaxCPU scalar `json:"maxcpu"`
		MaxMem scalar `json:"maxmem"`
	}
	apiStatusEntry struct {
		Type string `json:"type"` // node, cluster
		Name string `json:"name"`
		IP   string `json:"ip"`
	}
	apiOptions struct {
		NextID     properties `json:"next-id"`
		Registered texts      `json:"registered-tags"`
		UserTags   properties `json:"user-tag-access"`
	}
	apiGuest struct {
		Type     string `json:"type"` // qemu, lxc
		VMID     number `json:"vmid"`
		Node     string `json:"node"`
		Name     string `json:"name"`
		Pool     string `json:"pool"`
		Tags     string `json:"tags"`
		Lock     string `json:"lock"`
		Template scalar `json:"template"`
		Status   string `json:"status"`
	}
	apiPending struct {
		Key     string  `json:"key"`
		Value   *scalar `json:"value"`
		Pending *scalar `json:"pending"`
		Delete  scalar  `json:"delete"`
	}
	apiHostStatus struct {
		CPUInfo struct {
			CPUs scalar `json:"cpus"`
		} `json:"cpuinfo"`
		Memory struct {
			Total scalar `json:"total"`
		} `json:"memory"`
	}
	apiInterface struct {
		Iface     string `json:"iface"`
		Type      string `json:"type"`
		CIDR      string `json:"cidr"`
		CIDR6     string `json:"cidr6"`
		Gateway   string `json:"gateway"`
		Ports     string `json:"bridge_ports"`
		OVSPorts  string `json:"ovs_ports"`
		VLANAware scalar `json:"bridge_vlan_aware"`
		Active    scalar `json:"active"`
	}
	apiPCI struct {
		ID              string  `json:"id"` // BDF
		Class           string  `json:"class"`
		Vendor          string  `json:"vendor"`
		Device          string  `json:"device"`
		VendorName      string  `json:"vendor_name"`
		DeviceName      string  `json:"device_name"`
		SubVendor       string  `json:"subsystem_vendor"`
		SubDevice       string  `json:"subsystem_device"`
		SubVendorName   string  `json:"subsystem_vendor_name"`
		SubsystemDevice string  `json:"subsystem_device_name"`
		Group           *scalar `json:"iommugroup"`
	}
	apiStorage struct {
		Storage string `json:"storage"`
		Type    string `json:"type"`
		Path    string `json:"path"`
		Content string `json:"content"`
		Nodes   string `json:"nodes"`
		Shared  scalar `json:"shared"`
		Disable scalar `json:"disable"`
	}
	apiHostStorage struct {
		Storage string `json:"storage"`
		Total   scalar `json:"total"`
		Active  scalar `json:"active"`
	}
	apiVolume struct {
		VolID string `json:"volid"`
		Size  scalar `json:"size"`
	}
	apiMapping struct {
		ID          string   `json:"id"`
		Description string   `json:"description"`
		Map         []string `json:"map"`
		Mdev        scalar   `json:"mdev"`
		Live        scalar   `json:"live-migration-capable"`
	}
	apiPool struct {
		ID string `json:"poolid"`
	}
	apiHA struct {
		SID string `json:"sid"` // vm:100, or 100
	}
	apiUser struct {
		ID     string     `json:"userid"`
		Enable *scalar    `json:"enable"`
		Expire scalar     `json:"expire"`
		Tokens []apiToken `json:"tokens"`
	}
	apiToken struct {
		ID      string  `json:"tokenid"`
		PrivSep *scalar `json:"privsep"`
		Expire  scalar  `json:"expire"`
	}
	apiGroup struct {
		ID    string `json:"groupid"`
		Users string `json:"users"`
	}
	apiRole struct {
		ID      string `json:"roleid"`
		Special scalar `json:"special"`
		Privs   string `json:"privs"`
	}
	apiACL struct {
		Path      string  `json:"path"`
		Type      string  `json:"type"` // user, group, token
		Subject   string  `json:"ugid"`
		Role      string  `json:"roleid"`
		Propagate *scalar `json:"propagate"`
	}
	// permissions are a login's privileges by path; the value says whether a privilege is
	// propagated.
	permissions map[string]map[string]scalar
)

// yes reports whether a flag is set; a missing flag counts as set.
func yes(s *scalar) bool { return s == nil || s.set() }
