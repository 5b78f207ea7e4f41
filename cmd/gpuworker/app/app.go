// Package app is the gpuworker program. It connects the command line with the engine and
// its backends, and does nothing else. main and the end-to-end tests run it.
package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/bootstrap"
	"github.com/gpuworker/gpuworker/internal/buildinfo"
	"github.com/gpuworker/gpuworker/internal/cli"
	"github.com/gpuworker/gpuworker/internal/demo"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/guestbuild"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/proxmox"
)

// Main runs the command line of this process and returns the exit code.
func Main() int {
	program := cli.Program{NewEngine: newEngine, Demo: demo.Run}.Process()
	return program.Run(context.Background(), os.Args[1:])
}

func newEngine(request cli.EngineRequest) cli.Engine {
	limit := proxmox.NewLimit()
	return engine.New(engine.Options{
		By:      engine.Author(),
		Facts:   request.Facts,
		Log:     request.Log,
		Builds:  sync.OnceValues(func() ([]bootstrap.Build, error) { return guestBuilds(request) }),
		Version: buildinfo.This().Version,
		Open: func(_ context.Context, documents *v1alpha1.Documents, document *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
			if document.Spec.Proxmox == nil {
				return nil, loginFault(document, "open the hypervisor", errors.New("the document does not say which hypervisor it is for"), "write spec.proxmox")
			}
			login, err := loginOf(request, documents, document)
			if err != nil {
				return nil, err
			}
			login.Limit, login.Logger = limit, callLog(request, documents, document)
			return proxmox.Open(document, login)
		},
	})
}

// guestBuilds finds gpuworker-guest. Builds that are not of this release are said.
func guestBuilds(request cli.EngineRequest) ([]bootstrap.Build, error) {
	found, err := guestbuild.Finder{Dir: request.GuestDir}.Find()
	if err == nil && !found.Release && request.Warn != nil {
		for _, note := range found.Notes() {
			request.Warn(note)
		}
	}
	return found.Builds, err
}

// callLog returns the logger of calls to a hypervisor. It names the hypervisor when there
// are several.
func callLog(request cli.EngineRequest, documents *v1alpha1.Documents, document *v1alpha1.Hypervisor) *slog.Logger {
	if request.Log == nil || len(documents.Hypervisors) == 1 {
		return request.Log
	}
	return request.Log.With("hypervisor", document.Name)
}

// loginOf reads the secrets and files that a Hypervisor document refers to.
func loginOf(request cli.EngineRequest, documents *v1alpha1.Documents, document *v1alpha1.Hypervisor) (proxmox.Login, error) {
	var login proxmox.Login
	if request.Login == cli.WithoutLogin {
		// No request is sent, so any token works; the one of the document may not exist
		// yet.
		return proxmox.Login{Token: "nobody@pve!none=00000000-0000-0000-0000-000000000000"}, nil
	}
	spec := document.Spec.Proxmox
	secrets := []struct {
		field  string
		source *v1alpha1.SecretSource
		into   *string
	}{
		{"spec.proxmox.credentials.token", spec.Credentials.Token, &login.Token},
		{"spec.proxmox.credentials.password", spec.Credentials.Password, &login.Password},
	}
	for _, s := range secrets {
		if s.source == nil {
			continue
		}
		secret, err := s.source.Resolve(request.LookupEnv, readSecret(request.Warn))
		if err != nil {
			return login, loginFault(document, "read "+s.field, err, "put the secret there; gpuworker role prints how to make a token")
		}
		*s.into = secret
	}
	if spec.TLS.CAFile == "" {
		return login, nil
	}
	file := spec.TLS.CAFile
	pem, _, err := readSmall(file)
	if err != nil {
		return login, loginFault(document, "read spec.proxmox.tls.caFile", err, "copy /etc/pve/pve-root-ca.pem of the cluster to "+file)
	}
	login.CA = pem
	return login, nil
}

func loginFault(document *v1alpha1.Hypervisor, doing string, err error, fix string) error {
	return &fault.Error{
		Kind: fault.Invalid, Doing: doing, Where: fault.Place{Hypervisor: document.Name}, Cause: err, Fix: fix,
	}
}
