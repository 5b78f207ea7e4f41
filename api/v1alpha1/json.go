package v1alpha1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"unicode/utf8"
)

// MarshalJSON writes the documents as a list of objects. They hold no secrets,
// only where those are; names of files are made absolute, so that the list means
// the same wherever it is read.
func (d *Documents) MarshalJSON() ([]byte, error) {
	list, err := d.logins()
	for i := range d.WorkerPools {
		text, e := written(d.WorkerPools[i])
		list, err = append(list, text), errors.Join(err, e)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(list)
}

// logins are the documents that say where secrets are and where they are sent.
func (d *Documents) logins() (list []json.RawMessage, err error) {
	list = []json.RawMessage{}
	for i := range d.Hypervisors {
		text, e := written(d.portableHypervisor(d.Hypervisors[i]))
		list, err = append(list, text), errors.Join(err, e)
	}
	for i := range d.KubeClusters {
		text, e := written(d.portableKubeCluster(d.KubeClusters[i]))
		list, err = append(list, text), errors.Join(err, e)
	}
	return list, err
}

// written is one document without the field that belongs to the API server.
func written(document any) (json.RawMessage, error) {
	text, err := json.Marshal(document)
	return bytes.ReplaceAll(text, []byte(`"creationTimestamp":null,`), nil), err
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
		fmt.Fprintf(&text, "---\n%s\n", asYAML(document))
	}
	read, _, err := Load(File{Data: text.Bytes()})
	if err != nil {
		return fmt.Errorf("the documents in it are not valid: %s", firstOf(err))
	}
	*d = *read
	return nil
}

// firstOf is the first problem of a list of documents. It has no file, and its lines
// are of nobody's text.
func firstOf(err error) string {
	var problems Problems
	if !errors.As(err, &problems) || len(problems) == 0 {
		return err.Error()
	}
	first := problems[0]
	first.File, first.Line = "", 0
	if len(problems) == 1 {
		return first.String()
	}
	return fmt.Sprintf("%s (and %d more)", first, len(problems)-1)
}

// escape is one escape in a text of JSON: of a character beyond 16 bits in two
// halves, or any other.
var escape = regexp.MustCompile(`\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|.)`)

// asYAML makes JSON readable for a reader of YAML, which knows neither halves nor
// an escaped slash.
func asYAML(text []byte) []byte {
	return escape.ReplaceAllFunc(text, func(found []byte) []byte {
		var whole string
		switch {
		case string(found) == `\/`:
			return []byte("/")
		case len(found) > 2 && json.Unmarshal([]byte(`"`+string(found)+`"`), &whole) == nil:
			r, _ := utf8.DecodeRuneInString(whole)
			return fmt.Appendf(nil, `\U%08x`, r)
		}
		return found
	})
}

// portableHypervisor is a Hypervisor whose files have absolute names.
func (d *Documents) portableHypervisor(h Hypervisor) Hypervisor {
	if h.Spec.Proxmox == nil {
		return h
	}
	p := *h.Spec.Proxmox
	p.Credentials.Token = d.portableSecret(KindHypervisor, h.Name, p.Credentials.Token)
	p.Credentials.Password = d.portableSecret(KindHypervisor, h.Name, p.Credentials.Password)
	p.TLS.CAFile = d.absolute(KindHypervisor, h.Name, p.TLS.CAFile)
	h.Spec.Proxmox = &p
	return h
}

// portableKubeCluster is a KubeCluster whose files have absolute names.
func (d *Documents) portableKubeCluster(k KubeCluster) KubeCluster {
	k.Spec.JoinToken = d.portableSecret(KindKubeCluster, k.Name, k.Spec.JoinToken)
	return k
}

func (d *Documents) portableSecret(kind, name string, secret *SecretSource) *SecretSource {
	if secret == nil {
		return nil
	}
	source := *secret
	source.File = d.absolute(kind, name, source.File)
	return &source
}

// absolute is the name of a file that a document names, from the root on.
func (d *Documents) absolute(kind, name, file string) string {
	if file == "" {
		return ""
	}
	if full, err := filepath.Abs(d.Path(kind, name, file)); err == nil {
		return full
	}
	return file // the working directory is gone
}

// SameLogins reports whether two sets have the same Hypervisors and KubeClusters,
// so that they lead to the same places with the same secrets.
func (d *Documents) SameLogins(other *Documents) bool {
	if len(d.Hypervisors) != len(other.Hypervisors) || len(d.KubeClusters) != len(other.KubeClusters) {
		return false
	}
	mine, err := d.logins()
	theirs, otherErr := other.logins()
	if err != nil || otherErr != nil {
		return false
	}
	order := func(a, b json.RawMessage) int { return bytes.Compare(a, b) }
	slices.SortFunc(mine, order)
	slices.SortFunc(theirs, order)
	return slices.EqualFunc(mine, theirs, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })
}
