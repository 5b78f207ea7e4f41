package v1alpha1

import "path/filepath"

// Documents are what the operator declared: all documents of all files, in the
// order in which they were read.
//
// A set that Decode made remembers where each field was written, so that the
// problems that Validate finds later carry file and line. A set that was put
// together in code works the same, without places.
type Documents struct {
	Hypervisors  []Hypervisor
	KubeClusters []KubeCluster
	WorkerPools  []WorkerPool

	origins map[documentKey]*origin
	// incomplete reports whether a document could not even be recognised, so that a
	// name that is not there proves nothing.
	incomplete bool
}

// documentKey says which document of a set: the index is that of its slice.
type documentKey struct {
	kind  string
	index int
}

// origin is where a document was written.
type origin struct {
	file  string
	line  int
	lines map[string]int // field path → line

	// suspects are the paths where Decode found a problem; what Validate sees
	// there follows from it and is not worth a second line. "" is everything.
	suspects []string
}

// lineOf is the line of a field, or of the nearest thing around it that was
// written.
func (o *origin) lineOf(path string) int {
	for ; path != ""; path = parent(path) {
		if line, ok := o.lines[path]; ok {
			return line
		}
	}
	return o.line
}

// suspect reports whether Decode already spoke about this path, something in it or
// something around it.
func (o *origin) suspect(path string) bool {
	for _, bad := range o.suspects {
		if within(path, bad) || within(bad, path) {
			return true
		}
	}
	return false
}

// Hypervisor returns the Hypervisor document of that name.
func (d *Documents) Hypervisor(name string) (h *Hypervisor, ok bool) {
	for i := range d.Hypervisors {
		if d.Hypervisors[i].Name == name {
			return &d.Hypervisors[i], true
		}
	}
	return nil, false
}

// KubeCluster returns the KubeCluster document of that name.
func (d *Documents) KubeCluster(name string) (k *KubeCluster, ok bool) {
	for i := range d.KubeClusters {
		if d.KubeClusters[i].Name == name {
			return &d.KubeClusters[i], true
		}
	}
	return nil, false
}

// WorkerPool returns the WorkerPool document of that name.
func (d *Documents) WorkerPool(name string) (p *WorkerPool, ok bool) {
	for i := range d.WorkerPools {
		if d.WorkerPools[i].Name == name {
			return &d.WorkerPools[i], true
		}
	}
	return nil, false
}

// Pools returns all WorkerPools, in the order of the documents.
func (d *Documents) Pools() []*WorkerPool {
	pools := make([]*WorkerPool, len(d.WorkerPools))
	for i := range d.WorkerPools {
		pools[i] = &d.WorkerPools[i]
	}
	return pools
}

// PoolsOn returns the WorkerPools whose VMs live on the named Hypervisor, in
// the order of the documents.
func (d *Documents) PoolsOn(hypervisor string) []*WorkerPool {
	var pools []*WorkerPool
	for _, p := range d.Pools() {
		if p.Spec.Hypervisor == hypervisor {
			pools = append(pools, p)
		}
	}
	return pools
}

// Path makes a file name that was written in a document usable from the
// working directory: relative names are relative to the document's own file.
func (d *Documents) Path(kind, name, file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(d.dir(kind, name), file)
}

// dir is the directory of the file that holds a document, "." when it was not
// read from a file.
func (d *Documents) dir(kind, name string) string {
	for key, o := range d.origins {
		if key.kind == kind && d.nameOf(key) == name {
			return filepath.Dir(o.file)
		}
	}
	return "."
}

func (d *Documents) nameOf(key documentKey) string {
	switch key.kind {
	case KindHypervisor:
		return d.Hypervisors[key.index].Name
	case KindKubeCluster:
		return d.KubeClusters[key.index].Name
	default:
		return d.WorkerPools[key.index].Name
	}
}

// objectName is how a document is called in problems.
func objectName(kind, name string) string {
	if kind == "" || name == "" {
		return plain(kind + name)
	}
	return plain(kind) + "/" + plain(name)
}

// plain is a name as it is, or quoted and clipped when it is odd or far too
// long.
func plain(name string) string {
	if quoted := clip(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}
