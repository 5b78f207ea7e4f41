package pve

import "context"

// Mapping is a resource mapping of PCI devices: a name under which a VM can be
// given a device without root@pam.
type Mapping struct {
	ID          string `json:"id" required:""`
	Description string `json:"description"`
	// Map has an entry for each device, a property string:
	// "node=pve1,path=0000:03:00.0,id=10de:1eb8,iommugroup=14,subsystem-id=10de:12a2".
	// Of several entries for one node a VM gets the first that is free.
	Map []string `json:"map"`
	// Digest is that of the file of all mappings: it changes when any of them
	// does.
	Digest string `json:"digest"`
}

// MappingSpec is a new mapping. Its id is a letter and at least one more of
// letters, digits, "-" and "_".
type MappingSpec struct {
	ID          string
	Description string // one line
	Map         []string
}

// MappingUpdate replaces the description and the entries of a mapping; the
// server wants the entries each time. An empty description is removed. With a
// Digest, the update fails with Changed when any mapping was changed since,
// which makes a compare-and-swap of it.
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
	m := Mapping{ID: id} // the answer does not repeat it
	err := c.do(ctx, get("/cluster/mapping/pci/{}", id), &m)
	return m, err
}

// CreateMapping makes a mapping. The server looks at the form only: devices
// that do not exist are accepted here and refused when a VM starts. Needs
// Mapping.Modify on /mapping/pci.
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
		return call.invalid("an update of a mapping must name its entries each time, as the server refuses it otherwise; nothing was sent")
	}
	if up.Description == "" {
		call.with("delete", "description")
	}
	for _, entry := range up.Map {
		call.with("map", entry)
	}
	return c.do(ctx, call, nil)
}

// DeleteMapping removes a mapping. The server takes no digest here, and removes
// a mapping that VMs name; removing one that is not there is no error. Needs
// Mapping.Modify on /mapping/pci.
func (c *Client) DeleteMapping(ctx context.Context, id string) error {
	return c.do(ctx, del("/cluster/mapping/pci/{}", id), nil)
}
