package proxmox

import (
	"log/slog"
	"net/http"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/pve"
)

// Login is what Open needs besides the document: the contents of the secrets and
// files that the document only refers to.
type Login struct {
	Token    string // "user@realm!name=secret", or
	Password string // of the document's username
	CA       []byte // PEM, of the document's caFile

	// Transport replaces the network, for in-process simulators; nil uses the network.
	Transport http.RoundTripper
	// Limit of concurrent requests, shared with other backends; nil means a limit
	// of this backend alone.
	Limit  *pve.Limit
	Logger *slog.Logger // nil is silent
}

// Open returns a backend for a Hypervisor document. It sends no request: the
// first call logs in.
func Open(hypervisor *v1alpha1.Hypervisor, login Login) (*Backend, error) {
	spec := hypervisor.Spec.Proxmox
	if spec == nil {
		return nil, &fault.Error{
			Kind: fault.Invalid, Doing: "open the hypervisor", Where: fault.Place{Hypervisor: hypervisor.Name},
			Why: "its document has no spec.proxmox", Fix: "write spec.proxmox in the Hypervisor document",
		}
	}
	if login.Limit == nil {
		login.Limit = NewLimit()
	}
	client, err := pve.New(pve.Options{
		Endpoint:    spec.Endpoint,
		Token:       login.Token,
		Username:    spec.Credentials.Username,
		Password:    login.Password,
		CAFile:      login.CA,
		Fingerprint: spec.TLS.Fingerprint,
		Insecure:    spec.TLS.Insecure,
		Transport:   login.Transport,
		Limit:       login.Limit,
		Logger:      login.Logger,
		UserAgent:   "gpuworker",
	})
	if err != nil {
		return nil, &fault.Error{
			Kind: fault.Invalid, Doing: "open the hypervisor", Where: fault.Place{Hypervisor: hypervisor.Name}, Cause: err,
			Fix: "fix endpoint, tls or credentials of the Hypervisor document",
		}
	}
	return New(hypervisor.Name, *spec, client), nil
}
