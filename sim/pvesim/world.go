package pvesim

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// World is the initial state of a simulator: a document in YAML or JSON. The same world
// and the same seed give the same UUIDs, MAC addresses and task durations.
type World struct {
	// Version of the product, "9.1.4" or "8.4.1". It decides which privileges
	// exist: VM.Monitor before 9, VM.GuestAgent.* since.
	Version string `json:"version"`
	// RepoID is the build's identity; generated when empty.
	RepoID string `json:"repoid,omitempty"`
	// HTTPServer is the version of libpve-http-server-perl; when empty, that of the
	// product's version. Before 5.2.0 errors have no message in their JSON; before 5.2.1
	// the maximum size of forms is 64 KiB, since then 512.
	HTTPServer string `json:"httpServer,omitempty"`
	// Workers is the number of concurrent requests of the privileged daemon of each host;
	// others wait. 0 means no limit; a real host has 3.
	Workers int    `json:"workers,omitempty"`
	Seed    uint64 `json:"seed,omitempty"`
	// Cluster is the name of the cluster; empty for a single host.
	Cluster string `json:"cluster,omitempty"`
	// NoStatistics means that pvestatd does not run: lists then have "unknown" in place of
	// names and usage.
	NoStatistics bool `json:"noStatistics,omitempty"`
	// NoDNS means that the hosts have no name server, which changes the error for an
	// unknown host.
	NoDNS bool `json:"noDNS,omitempty"`
	// ListLag is the maximum delay of GET /cluster/resources, see Sim.SetListLag: 10s on a
	// real cluster; none when empty.
	ListLag Duration `json:"listLag,omitempty"`

	// AgentSockets is a directory of unix sockets of real guest agents: the agent calls of
	// a VM with a socket there, VMID.qga, are passed on to it.
	AgentSockets string `json:"agentSockets,omitempty"`

	Hosts      []Host              `json:"hosts"`
	Storages   []Storage           `json:"storages,omitempty"`
	VMs        []VM                `json:"vms,omitempty"`
	Mappings   []Mapping           `json:"mappings,omitempty"`
	Pools      []Pool              `json:"pools,omitempty"`
	Users      []User              `json:"users"`
	Groups     []Group             `json:"groups,omitempty"`
	Tokens     []Token             `json:"tokens,omitempty"`
	Roles      map[string][]string `json:"roles,omitempty"`
	ACL        []ACL               `json:"acl,omitempty"`
	Datacenter Datacenter          `json:"datacenter,omitempty"`
	Timings    *Timings            `json:"timings,omitempty"`
	Faults     []Fault             `json:"faults,omitempty"`
}

// Host is one physical machine (Proxmox: node).
type Host struct {
	Name      string  `json:"name"`
	Offline   bool    `json:"offline,omitempty"`
	IP        string  `json:"ip,omitempty"`
	CPUs      int     `json:"cpus"`
	MemoryGiB float64 `json:"memoryGiB"`
	// NoIOMMU is a host whose IOMMU is off: no groups, no passthrough.
	NoIOMMU bool `json:"noIOMMU,omitempty"`
	// NoVFIO is a host without the vfio-pci module.
	NoVFIO bool `json:"noVFIO,omitempty"`
	// Uptime when the simulation starts.
	Uptime  Duration      `json:"uptime,omitempty"`
	PCI     []PCIFunction `json:"pci,omitempty"`
	NICs    []string      `json:"nics,omitempty"`
	Bridges []Bridge      `json:"bridges,omitempty"`
}

// PCIFunction is one PCI function in the host's kernel.
type PCIFunction struct {
	Address string `json:"address"` // BDF
	Class   string `json:"class"`   // 0x030200
	ID      string `json:"id"`      // vendor:device
	Vendor  string `json:"vendor,omitempty"`
	Name    string `json:"name,omitempty"`

	Subsystem       string `json:"subsystem,omitempty"` // vendor:device
	SubsystemVendor string `json:"subsystemVendor,omitempty"`
	SubsystemName   string `json:"subsystemName,omitempty"`

	// Group is the IOMMU group, -1 for none.
	Group int `json:"group"`
	// Driver is its kernel driver after boot: "" for none. Any driver other than vfio-pci
	// means that the host uses it. The API never returns this.
	Driver string `json:"driver,omitempty"`
	// Broken says what fails when a VM starts with the function: "info" (the kernel has no
	// information about it), "bind" (it stays on its driver), "group" (its group does) or
	// "reset" (only a warning).
	Broken string `json:"broken,omitempty"`
	// Serial tells cards of one model apart, for GPUUUID. The API never returns it.
	Serial string `json:"serial,omitempty"`
}

// Bridge is a Linux bridge of a host.
type Bridge struct {
	Name      string `json:"name"`
	CIDR      string `json:"cidr,omitempty"`
	Gateway   string `json:"gateway,omitempty"`
	Ports     string `json:"ports,omitempty"`
	VLANAware bool   `json:"vlanAware,omitempty"`
	// Down means that the bridge is configured but not active.
	Down    bool   `json:"down,omitempty"`
	Comment string `json:"comment,omitempty"`
}

// Storage is one entry of storage.cfg. Types: dir, nfs, lvmthin.
type Storage struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Path     string   `json:"path,omitempty"` // of a dir
	Content  []string `json:"content"`
	Shared   bool     `json:"shared,omitempty"`
	Nodes    []string `json:"nodes,omitempty"` // empty: all hosts
	Disabled bool     `json:"disabled,omitempty"`
	// Offline are hosts on which the storage cannot be reached, see Sim.SetStorageOnline.
	Offline []string `json:"offline,omitempty"`
	// CapacityGiB is the capacity per host, or of all hosts together if shared.
	CapacityGiB float64 `json:"capacityGiB,omitempty"`
	// Allocate is the duration of creating a volume. The storage's lock is held meanwhile,
	// on all hosts if it is shared: with some seconds, parallel clones time out.
	Allocate Duration `json:"allocate,omitempty"`
	Volumes  []Volume `json:"volumes,omitempty"`
}

// Volume is a file or disk on a storage. Disks of VMs are created from the VMs'
// configurations and need no entry.
type Volume struct {
	Name string `json:"name"` // below the storage: iso/debian-13.iso
	Host string `json:"host,omitempty"`
	Size int64  `json:"size,omitempty"` // bytes
}

// VM is a virtual machine or, with template set in its configuration, a
// template.
type VM struct {
	ID      int    `json:"id"`
	Host    string `json:"host"`
	Running bool   `json:"running,omitempty"`
	Pool    string `json:"pool,omitempty"`
	// HA means that the VM is a resource of the HA manager.
	HA bool `json:"ha,omitempty"`
	// Config has the options of the configuration file in Proxmox's form.
	Config map[string]any `json:"config"`
	// Pending are the changes that are pending for the VM's next start, Deleting the names
	// of the options that it removes.
	Pending  map[string]any `json:"pending,omitempty"`
	Deleting []string       `json:"deleting,omitempty"`
	// Guest says what is installed on the boot disk; clones inherit it.
	Guest Guest `json:"guest,omitempty"`
	// AgentSocket is the unix socket of a real guest agent, to which the agent calls of
	// this VM are passed on. Clones do not inherit it.
	AgentSocket string `json:"agentSocket,omitempty"`
}

// Guest is the operating system on a VM's disk.
type Guest struct {
	// OS is empty for blank disks: such a guest ignores ACPI and has no agent. ubuntu,
	// debian, rhel and rocky have cloud-init; a version may follow: "ubuntu 24.04".
	OS string `json:"os,omitempty"`
	// Agent means that the QEMU guest agent is installed.
	Agent bool `json:"agent,omitempty"`
	// AgentAfter is the time from the start of the VM until the agent answers; 0 for a time
	// of the world's timings.
	AgentAfter Duration `json:"agentAfter,omitempty"`
	// Slow is the time that the agent takes for each answer. From three seconds on the
	// server's timeout passes, as with a hanging agent.
	Slow Duration `json:"slow,omitempty"`
	// Forbid are commands that the agent does not allow, without "guest-": exec and
	// exec-status on RHEL, for example.
	Forbid []string `json:"forbid,omitempty"`
	// Driver is the version of an NVIDIA driver on the disk, "580.95.05".
	Driver string `json:"driver,omitempty"`
	// Faults are misbehaviours.
	Faults []GuestFault `json:"faults,omitempty"`
}

func (g Guest) validate() error {
	for _, f := range g.Faults {
		if !slices.Contains(guestFaults, f) {
			return fmt.Errorf("guest: fault %q: must be one of %v", f, guestFaults)
		}
	}
	for _, command := range g.Forbid {
		if strings.HasPrefix(command, "guest-") {
			return fmt.Errorf("guest: forbid %q: without guest-", command)
		}
	}
	return nil
}

// Mapping is a PCI resource mapping.
type Mapping struct {
	ID          string   `json:"id"`
	Description string   `json:"description,omitempty"`
	Map         []string `json:"map"`
}

// Pool is a resource pool of Proxmox.
type Pool struct {
	ID      string `json:"id"`
	Comment string `json:"comment,omitempty"`
}

// User is a user, with the realm in the id: root@pam.
type User struct {
	ID       string `json:"id"`
	Password string `json:"password,omitempty"`
	Disabled bool   `json:"disabled,omitempty"`
	Expire   int64  `json:"expire,omitempty"` // Unix seconds
	// These fields are stored and shown but have no effect.
	Comment   string `json:"comment,omitempty"`
	Email     string `json:"email,omitempty"`
	FirstName string `json:"firstname,omitempty"`
	LastName  string `json:"lastname,omitempty"`
	Keys      string `json:"keys,omitempty"`
}

// Group is a group of users.
type Group struct {
	ID      string   `json:"id"`
	Comment string   `json:"comment,omitempty"`
	Users   []string `json:"users,omitempty"`
}

// Token is an API token, user@realm!name. Privileges are separated unless NoPrivSep is
// set; the token then has the privileges of its user.
type Token struct {
	ID        string `json:"id"`
	Secret    string `json:"secret"`
	NoPrivSep bool   `json:"noPrivSep,omitempty"`
	Expire    int64  `json:"expire,omitempty"` // Unix seconds
	Comment   string `json:"comment,omitempty"`
}

// ACL gives a role on a path to a user, token or @group.
type ACL struct {
	Path        string `json:"path"`
	Subject     string `json:"who"`
	Role        string `json:"role"`
	NoPropagate bool   `json:"noPropagate,omitempty"`
}

// Datacenter has the supported options of datacenter.cfg.
type Datacenter struct {
	NextIDLower int `json:"nextIDLower,omitempty"` // 100
	NextIDUpper int `json:"nextIDUpper,omitempty"` // 1000000
	// RegisteredTags need Sys.Modify on / to be set on a VM.
	RegisteredTags []string `json:"registeredTags,omitempty"`
	// UserTags is user-tag-access: free (default), existing, list or none.
	UserTags string `json:"userTags,omitempty"`
	// UserTagsAllowed is the list for "list".
	UserTagsAllowed []string `json:"userTagsAllowed,omitempty"`
}

// Duration is a time.Duration in the form "1m30s".
type Duration time.Duration

// MarshalText writes the duration as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration; write for example %q", text, "1m30s")
	}
	if parsed < 0 {
		return fmt.Errorf("%q: a duration must not be negative", text)
	}
	*d = Duration(parsed)
	return nil
}

// LoadWorld reads a world from YAML or JSON. It is strict: unknown fields and
// contradictory values are refused, all of them in one error.
func LoadWorld(data []byte) (World, error) {
	raw, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return World{}, fmt.Errorf("world: %w", err)
	}
	var world World
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.DisallowUnknownFields()
	strictErr := decoder.Decode(&world)
	if strictErr != nil {
		world = World{}
		if err := json.Unmarshal(raw, &world); err != nil {
			return World{}, fmt.Errorf("world: %w", err)
		}
		strictErr = fmt.Errorf("world: %w", strictErr)
	}
	if err := errors.Join(strictErr, world.validate()); err != nil {
		return World{}, err
	}
	return world, nil
}
