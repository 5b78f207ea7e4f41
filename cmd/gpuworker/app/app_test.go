package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/cli"
	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/proxmox"
)

// request loads a document in a folder with a token, a password and a CA, and returns a
// request for its login.
func request(t *testing.T, spec string) (cli.EngineRequest, *v1alpha1.Documents, *v1alpha1.Hypervisor) {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{"token": "a@pve!b=secret-in-file\n", "ca.pem": "the CA"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := "apiVersion: gpuworker.io/v1alpha1\nkind: Hypervisor\nmetadata: {name: lab}\nspec:\n  proxmox:\n    endpoint: https://pve1:8006\n" + spec
	documents, _, err := document.Load(document.File{Name: filepath.Join(folder, "lab.yaml"), Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	environment := map[string]string{"PVE_TOKEN": "a@pve!b=secret-in-environment", "PASSWORD": "secret-password"}
	return cli.EngineRequest{Login: cli.WithLogin, LookupEnv: func(name string) (string, bool) {
		value, ok := environment[name]
		return value, ok
	}}, documents, &documents.Hypervisors[0]
}

// fileOf returns the only file that a Hypervisor names.
func fileOf(h *v1alpha1.Hypervisor) string {
	p := h.Spec.Proxmox
	switch {
	case p.TLS.CAFile != "":
		return p.TLS.CAFile
	case p.Credentials.Token != nil:
		return p.Credentials.Token.File
	}
	return p.Credentials.Password.File
}

func TestSecretsAreTakenFromWhereTheDocumentSays(t *testing.T) {
	cases := []struct {
		name, spec string
		want       proxmox.Login
	}{
		{"a token in the environment", "    credentials: {token: {env: PVE_TOKEN}}\n", proxmox.Login{Token: "a@pve!b=secret-in-environment"}},
		{"a token in a file beside the document", "    credentials: {token: {file: token}}\n", proxmox.Login{Token: "a@pve!b=secret-in-file"}},
		{"a password", "    credentials: {username: root@pam, password: {env: PASSWORD}}\n", proxmox.Login{Password: "secret-password"}},
		{
			"a CA beside the document", "    tls: {caFile: ca.pem}\n    credentials: {token: {env: PVE_TOKEN}}\n",
			proxmox.Login{Token: "a@pve!b=secret-in-environment", CA: []byte("the CA")},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			login, err := loginOf(request(t, c.spec))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, login); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMissingCredentialsAreNamed(t *testing.T) {
	cases := []struct{ name, spec, says string }{
		{"a variable", "    credentials: {token: {env: NOWHERE}}\n", "environment variable NOWHERE is not set"},
		{"a file", "    credentials: {token: {file: nowhere}}\n", "nowhere: no such file"},
		{"a CA", "    tls: {caFile: nowhere.pem}\n    credentials: {token: {env: PVE_TOKEN}}\n", "nowhere.pem: no such file"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := loginOf(request(t, c.spec))
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.says) || fault.FixOf(err) == "" {
				t.Errorf("error %v, fix %q", err, fault.FixOf(err))
			}
			if err != nil && strings.Contains(err.Error(), "secret-in") {
				t.Errorf("the error contains the secret: %v", err)
			}
		})
	}
}

func TestWithoutLoginNothingIsNeeded(t *testing.T) {
	r, documents, hypervisor := request(t, "    credentials: {token: {env: NOWHERE}}\n")
	r.Login = cli.WithoutLogin
	login, err := loginOf(r, documents, hypervisor)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proxmox.Open(hypervisor, login); err != nil {
		t.Error(err)
	}
}

// The program refuses such a document.
func TestAHypervisorWithoutASpecIsRefused(t *testing.T) {
	r, documents, hypervisor := request(t, "    credentials: {token: {env: PVE_TOKEN}}\n")
	hypervisor.Spec.Proxmox = nil
	_, err := newEngine(r).Check(t.Context(), documents)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "lab") || !strings.Contains(fault.FixOf(err), "spec.proxmox") {
		t.Errorf("%v, fix %q", err, fault.FixOf(err))
	}
}
