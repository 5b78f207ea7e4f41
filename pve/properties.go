package pve

import "strings"

// Properties is one of Proxmox VE's property strings, such as the value of
// hostpci0, net0 or an entry of a resource mapping:
//
//	0000:03:00,pcie=1
//	host=0000:03:00,pcie=1
//	node=pve1,path=0000:03:00.0,id=10de:1eb8,iommugroup=14
//
// Order, unknown keys and keys without "=" are preserved, so that changing one
// property does not destroy properties that this program does not know. A value
// without a key is the value of the default key, which depends on the option ("host"
// for hostpciN, "file" for disks, "enabled" for agent) and is the empty key here.
//
// The zero value has no properties. Changing a copy does not change the original.
type Properties struct {
	list []property
}

type property struct {
	key, value string
	bare       bool // written without a "key="
}

// ParseProperties reads a property string. It accepts every text: parts that Proxmox
// would refuse are kept unchanged.
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

// Get returns the value of the first of the keys that is present. For the default key,
// give its name and "", because both forms are in use:
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

// Set changes a property in place, or appends it. The empty key is the bare value; a
// new bare value is inserted first, where Proxmox writes it.
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

// Delete removes all occurrences of a property.
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

// is reports whether q has that key. "=x" has an empty key too, but is not the bare
// value.
func (q property) is(key string) bool {
	return q.key == key && q.bare == (key == "")
}
