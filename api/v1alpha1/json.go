package v1alpha1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
)

// MarshalJSON writes the documents as a list of objects. They hold no secrets,
// only where those are; names of files are made absolute, so that the list means
// the same wherever it is read.
func (d *Documents) MarshalJSON() ([]byte, error) {
	list := []json.RawMessage{}
	add := func(document any) error {
		text, err := json.Marshal(document)
		if err == nil {
			list = append(list, bytes.ReplaceAll(text, []byte(`"creationTimestamp":null,`), nil))
		}
		return err
	}
	var errs []error
	for i := range d.Hypervisors {
		errs = append(errs, add(d.portable(d.Hypervisors[i])))
	}
	for i := range d.KubeClusters {
		errs = append(errs, add(d.KubeClusters[i]))
	}
	for i := range d.WorkerPools {
		errs = append(errs, add(d.WorkerPools[i]))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return json.Marshal(list)
}

// UnmarshalJSON reads what MarshalJSON wrote, as strictly as Load reads files:
// unknown fields and values that are not valid are errors.
func (d *Documents) UnmarshalJSON(data []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("documents are a list of objects: %w", err)
	}
	var text bytes.Buffer
	for _, document := range list {
		fmt.Fprintf(&text, "---\n%s\n", document)
	}
	read, _, err := Load(File{Name: "documents", Data: text.Bytes()})
	if err != nil {
		return err
	}
	*d = *read
	return nil
}

// portable is a Hypervisor whose files have absolute names.
func (d *Documents) portable(h Hypervisor) Hypervisor {
	if h.Spec.Proxmox == nil {
		return h
	}
	absolute := func(name string) string {
		if name == "" {
			return ""
		}
		if full, err := filepath.Abs(d.Path(KindHypervisor, h.Name, name)); err == nil {
			return full
		}
		return name
	}
	p := *h.Spec.Proxmox
	for _, secret := range []**SecretSource{&p.Credentials.Token, &p.Credentials.Password} {
		if *secret != nil {
			source := **secret
			source.File = absolute(source.File)
			*secret = &source
		}
	}
	p.TLS.CAFile = absolute(p.TLS.CAFile)
	h.Spec.Proxmox = &p
	return h
}

// SameHypervisors reports whether two sets have the same Hypervisor documents, so
// that they lead to the same places with the same logins.
func (d *Documents) SameHypervisors(other *Documents) bool {
	if len(d.Hypervisors) != len(other.Hypervisors) {
		return false
	}
	for i := range d.Hypervisors {
		twin, ok := other.Hypervisor(d.Hypervisors[i].Name)
		if !ok || !reflect.DeepEqual(d.portable(d.Hypervisors[i]), other.portable(*twin)) {
			return false
		}
	}
	return true
}
