package pve

import "strings"

// Properties is one of Proxmox VE's property strings, such as the value of
// hostpci0, net0 or an entry of a resource mapping:
//
//	0000:03:00,pcie=1
//	host=0000:03:00,pcie=1
//	node=pve1,path=0000:03:00.0,id=10de:1eb8,iommugroup=14
//
// Order, unknown keys and keys without "=" survive a round trip, so that
// changing one property does not destroy those that this program has never
// heard of. A value without a key is the value of the default key, which
// depends on the option ("host" for hostpciN, "file" for disks, "enabled" for
// agent) and is written here as the empty key.
//
// The zero value has no properties. A change of a copy does not
// reach its original.
type Properties struct {
	list []property
}

type property struct {
	key, value string
	bare       bool // written without a "key="
}

// ParseProperties reads a property string. Every text is one: what Proxmox
// would refuse is kept as it is.
func ParseProperties(s string) Properties {
	if s == "" {
		return Properties{}
	}
	parts := strings.Split(s, ",")
	p := Properties{list: make([]property, 0, len(parts))}
	for _, part := range parts {
		key, value, found := strings.Cut(part, "=")
		if !found {
			key, value = "", part
		}
		p.list = append(p.list, property{key: key, value: value, bare: !found})
	}
	return p
}

// String writes the properties in their order.
func (p Properties) String() string {
	parts := make([]string, len(p.list))
	for i, q := range p.list {
		parts[i] = q.value
		if !q.bare {
			parts[i] = q.key + "=" + q.value
		}
	}
	return strings.Join(parts, ",")
}

// Get gives the value of the first of the keys that is there. Ask for the
// default key by its name and by "", since both ways of writing are in use:
//
//	p.Get("host", "")
func (p Properties) Get(keys ...string) (string, bool) {
	for _, key := range keys {
		if i := p.index(key); i >= 0 {
			return p.list[i].value, true
		}
	}
	return "", false
}

// Set changes a property in its place, or appends it. The empty key is the
// bare value; when there is none it is put first, where Proxmox writes it.
func (p *Properties) Set(key, value string) {
	if i := p.index(key); i >= 0 {
		p.list = append([]property(nil), p.list...)
		p.list[i].value = value
		return
	}
	q := property{key: key, value: value, bare: key == ""}
	if q.bare {
		p.list = append([]property{q}, p.list...)
		return
	}
	p.list = append(p.list[:len(p.list):len(p.list)], q)
}

// Delete removes a property, each time that it occurs.
func (p *Properties) Delete(key string) {
	kept := make([]property, 0, len(p.list))
	for _, q := range p.list {
		if !q.is(key) {
			kept = append(kept, q)
		}
	}
	p.list = kept
}

func (p Properties) index(key string) int {
	for i, q := range p.list {
		if q.is(key) {
			return i
		}
	}
	return -1
}

// is reports whether q goes by that key. "=x" has an empty key too, but is not
// the bare value.
func (q property) is(key string) bool {
	return q.key == key && q.bare == (key == "")
}
