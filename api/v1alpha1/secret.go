package v1alpha1

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Describe says where the secret is, for messages: "environment variable
// PVE_TOKEN" or "file /etc/gpuworker/token". It never contains the secret.
func (s SecretSource) Describe() string {
	switch {
	case s.Env != "":
		return "environment variable " + s.Env
	case s.File != "":
		return "file " + s.File
	case s.SecretRef != nil:
		return fmt.Sprintf("key %s of Kubernetes Secret %s", s.SecretRef.Key, s.SecretRef.Name)
	}
	return "no source (write env or file)"
}

// Resolve reads the secret with getenv or readFile, which are os.LookupEnv and
// os.ReadFile outside tests. It removes one line break at the end, which editors
// and `echo` add. No error contains the secret.
func (s SecretSource) Resolve(getenv func(string) (string, bool), readFile func(string) ([]byte, error)) (string, error) {
	var secret string
	switch {
	case s.SecretRef != nil:
		return "", fmt.Errorf("%s is read by the controller only; write env or file for the command line", s.Describe())
	case s.Env != "" && s.File != "":
		return "", errors.New("the secret has two sources; write only one of env and file")
	case s.Env != "":
		value, ok := getenv(s.Env)
		if !ok {
			return "", fmt.Errorf("%s is not set; export it before running this command", s.Describe())
		}
		secret = value
	case s.File != "":
		data, err := readFile(s.File)
		if err != nil {
			return "", fmt.Errorf("%s: %w", s.Describe(), withoutPath(err))
		}
		secret = string(data)
	default:
		return "", errors.New("the secret has no source; write env or file")
	}
	secret = trimLineBreak(secret)
	if strings.TrimSpace(secret) == "" {
		return "", fmt.Errorf("%s is empty; it must contain the secret", s.Describe())
	}
	if strings.ContainsAny(secret, "\r\n\x00") {
		return "", fmt.Errorf("%s has more than one line; it must contain only the secret", s.Describe())
	}
	return secret, nil
}

// withoutPath removes operation and path from a file error; the caller names them.
func withoutPath(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

func trimLineBreak(text string) string {
	return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
}

// SecretRefs returns the fields that name a Kubernetes Secret. A program without access to
// Kubernetes refuses them.
func (d *Documents) SecretRefs() []Field {
	var refs []Field
	add := func(kind string, index int, name, path string, s *SecretSource) {
		if s != nil && s.SecretRef != nil {
			refs = append(refs, Field{kind, index, name, path + ".secretRef"})
		}
	}
	for i, h := range d.Hypervisors {
		if p := h.Spec.Proxmox; p != nil {
			add(KindHypervisor, i, h.Name, "spec.proxmox.credentials.token", p.Credentials.Token)
			add(KindHypervisor, i, h.Name, "spec.proxmox.credentials.password", p.Credentials.Password)
		}
	}
	for i, k := range d.KubeClusters {
		add(KindKubeCluster, i, k.Name, "spec.joinToken", k.Spec.JoinToken)
	}
	return refs
}
