package pve

import "context"

// Mapping is a resource mapping of PCI devices: a name with which a device can be
// attached to a VM without root@pam.
type Mapping struct {
	ID          string `json:"id" required:""`
	Description string `json:"description"`
	// Map has an entry for each device, a property string:
	// "node=pve1,path=0000:03:00.0,id=10de:1eb8,iommugroup=14,subsystem-id=10de:12a2".
	// Of several entries for one node, a VM gets the first free device.
	Map []string `json:"map"`
	// Digest is that of the file with all mappings: it changes when any of them
	// changes.
	Digest string `json:"digest"`
}

// MappingSpec is a new mapping. Its id begins with a letter, followed by at least one
// letter, digit, "-" or "_".
type MappingSpec struct {
	ID          string
	Description string // one line
	Map         []string
}

// MappingUpdate replaces the description and the entries of a mapping. The entries are
// required in each update; an empty description is removed. With a Digest, the update
// is a compare-and-swap: it fails with Changed if any mapping was changed since.
type MappingUpdate struct {
	ID          string
	Description string
	Map         []string
	Digest      string
}

// Mappings lists the mappings that the caller has any Mapping privilege on.
func (c *Client) Mappings(ctx context.Context) ([]Mapping, error) {
	var list []Mapping
	err := c.do(ctx, get("/cluster/mapping/pci"), &list)
	return list, err
}

// Mapping reads one mapping.
func (c *Client) Mapping(ctx context.Context, id string) (Mapping, error) {
	m := Mapping{ID: id} // not part of the answer
	err := c.do(ctx, get("/cluster/mapping/pci/{}", id), &m)
	return m, err
}

// CreateMapping creates a mapping. The server checks the syntax only: devices that do
// not exist are accepted here and refused when a VM starts. Needs Mapping.Modify on
// /mapping/pci.
func (c *Client) CreateMapping(ctx context.Context, spec MappingSpec) error {
	call := post("/cluster/mapping/pci").with("id", spec.ID).with("description", spec.Description)
	for _, entry := range spec.Map {
		call.with("map", entry)
	}
	return c.do(ctx, call, nil)
}

// UpdateMapping replaces a mapping's description and entries.
func (c *Client) UpdateMapping(ctx context.Context, up MappingUpdate) error {
	call := put("/cluster/mapping/pci/{}", up.ID).with("description", up.Description).with("digest", up.Digest)
	if len(up.Map) == 0 {
		return call.invalid("an update of a mapping must contain its entries, otherwise the server refuses it; nothing was sent")
	}
	if up.Description == "" {
		call.with("delete", "description")
	}
	for _, entry := range up.Map {
		call.with("map", entry)
	}
	return c.do(ctx, call, nil)
}

// DeleteMapping removes a mapping. The server accepts no digest here, and also removes
// a mapping that VMs use. Removing a missing mapping is not an error. Needs
// Mapping.Modify on /mapping/pci.
func (c *Client) DeleteMapping(ctx context.Context, id string) error {
	return c.do(ctx, del("/cluster/mapping/pci/{}", id), nil)
}
