package provider

import (
	"cmp"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/proxmox"
)

// model is the configuration of the provider. Its secrets are in no state and no plan:
// Terraform stores no configuration of a provider.
type model struct {
	Name         types.String `tfsdk:"name"`
	Endpoint     types.String `tfsdk:"endpoint"`
	Token        types.String `tfsdk:"token"`
	Username     types.String `tfsdk:"username"`
	Password     types.String `tfsdk:"password"`
	CA           types.String `tfsdk:"ca"`
	CAFile       types.String `tfsdk:"ca_file"`
	Fingerprint  types.String `tfsdk:"fingerprint"`
	Insecure     types.Bool   `tfsdk:"insecure"`
	ResourcePool types.String `tfsdk:"resource_pool"`
	ISOStorage   types.String `tfsdk:"iso_storage"`
	Attach       types.String `tfsdk:"attach"`
	GuestDir     types.String `tfsdk:"guest_dir"`
	VMIDs        *vmids       `tfsdk:"vmids"`
}

type vmids struct {
	First types.Int64 `tfsdk:"first"`
	Last  types.Int64 `tfsdk:"last"`
}

// unknown reports whether a value comes from a resource that does not exist yet. Nothing
// can be observed then.
func (m *model) unknown() bool {
	for _, value := range []interface{ IsUnknown() bool }{
		m.Name, m.Endpoint, m.Token, m.Username, m.Password, m.CA, m.CAFile, m.Fingerprint, m.Insecure, m.ResourcePool, m.ISOStorage, m.Attach, m.GuestDir,
	} {
		if value.IsUnknown() {
			return true
		}
	}
	return m.VMIDs != nil && (m.VMIDs.First.IsUnknown() || m.VMIDs.Last.IsUnknown())
}

// login is one way to log in.
type login struct{ token, username, password string }

func (l login) given() bool { return l != login{} }

// hypervisor makes the document and the login of the configuration. What is not
// configured is read from the environment: first our own variables, then those of the
// providers bpg/proxmox and Telmate/proxmox. A token or a user name with a password is
// never put together from two of these sources.
func (m *model) hypervisor(env Environment, diagnostics *diag.Diagnostics) (*v1alpha1.Hypervisor, proxmox.Login) {
	document := &v1alpha1.Hypervisor{}
	document.Name = cmp.Or(m.Name.ValueString(), "proxmox")
	p := &v1alpha1.Proxmox{
		Endpoint: cmp.Or(m.Endpoint.ValueString(), env("GPUWORKER_ENDPOINT"), bareURL(env("PROXMOX_VE_ENDPOINT")), bareURL(env("PM_API_URL"))),
		TLS: v1alpha1.TLS{
			Fingerprint: cmp.Or(m.Fingerprint.ValueString(), env("GPUWORKER_FINGERPRINT")),
			CAFile:      cmp.Or(m.CAFile.ValueString(), env("GPUWORKER_CA_FILE")),
			Insecure:    m.Insecure.ValueBool(),
		},
		ResourcePool: cmp.Or(m.ResourcePool.ValueString(), env("GPUWORKER_RESOURCE_POOL")),
		ISOStorage:   cmp.Or(m.ISOStorage.ValueString(), env("GPUWORKER_ISO_STORAGE")),
		Attach:       v1alpha1.AttachMode(m.Attach.ValueString()),
	}
	pinned := p.TLS.Fingerprint != "" || p.TLS.CAFile != "" || m.CA.ValueString() != ""
	if m.Insecure.IsNull() && !pinned {
		p.TLS.Insecure = isTrue(env("GPUWORKER_INSECURE")) || isTrue(env("PROXMOX_VE_INSECURE")) || isTrue(env("PM_TLS_INSECURE"))
	}
	if m.VMIDs != nil {
		p.VMIDs = v1alpha1.VMIDRange{First: int(m.VMIDs.First.ValueInt64()), Last: int(m.VMIDs.Last.ValueInt64())}
	}
	document.Spec.Proxmox = p
	l := m.login(env)
	// The document is checked as any other. Its credentials are only placeholders: a
	// document never contains a secret.
	if l.token != "" {
		p.Credentials.Token = &v1alpha1.SecretSource{Env: "GPUWORKER_TOKEN"}
	} else {
		p.Credentials.Username, p.Credentials.Password = l.username, &v1alpha1.SecretSource{Env: "GPUWORKER_PASSWORD"}
	}
	m.check(diagnostics, document, l)
	return document, m.proxmoxLogin(diagnostics, p, l)
}

func (m *model) login(env Environment) login {
	telmateToken := ""
	if id, secret := env("PM_API_TOKEN_ID"), env("PM_API_TOKEN_SECRET"); id != "" && secret != "" {
		telmateToken = id + "=" + secret
	}
	for _, l := range []login{
		{m.Token.ValueString(), m.Username.ValueString(), m.Password.ValueString()},
		{env("GPUWORKER_TOKEN"), env("GPUWORKER_USERNAME"), env("GPUWORKER_PASSWORD")},
		{env("PROXMOX_VE_API_TOKEN"), env("PROXMOX_VE_USERNAME"), env("PROXMOX_VE_PASSWORD")},
		{telmateToken, env("PM_USER"), env("PM_PASS")},
	} {
		if l.given() {
			return l
		}
	}
	return login{}
}

// proxmoxLogin is the login with the certificates to trust.
func (m *model) proxmoxLogin(diagnostics *diag.Diagnostics, p *v1alpha1.Proxmox, l login) proxmox.Login {
	result := proxmox.Login{Token: l.token, CA: []byte(m.CA.ValueString())}
	if l.token == "" {
		result.Password = l.password
	}
	if p.TLS.CAFile != "" {
		pem, err := os.ReadFile(p.TLS.CAFile)
		if err != nil {
			diagnostics.AddAttributeError(path.Root("ca_file"), "The certificate authorities cannot be read",
				err.Error()+"\n→ copy /etc/pve/pve-root-ca.pem of the cluster to this file")
		}
		result.CA = pem
	}
	return result
}

// check reports what is missing or not valid.
func (m *model) check(diagnostics *diag.Diagnostics, document *v1alpha1.Hypervisor, l login) {
	if document.Spec.Proxmox.Endpoint == "" {
		diagnostics.AddAttributeError(path.Root("endpoint"), "The endpoint is missing",
			"Write the URL of a host of the Proxmox VE cluster, https://pve1.example.org:8006, here or in GPUWORKER_ENDPOINT. "+
				"PROXMOX_VE_ENDPOINT and PM_API_URL are read too.")
	}
	if !l.given() || l.token == "" && (l.username == "" || l.password == "") {
		diagnostics.AddAttributeError(path.Root("token"), "The login is missing",
			"Give an API token, \"user@realm!name=secret\", here or in GPUWORKER_TOKEN, or a username with a password. PROXMOX_VE_API_TOKEN, "+
				"PROXMOX_VE_USERNAME and PROXMOX_VE_PASSWORD are read too, and PM_API_TOKEN_ID with PM_API_TOKEN_SECRET, and PM_USER with PM_PASS.\n"+
				"→ gpuworker role prints the commands that make a token with the necessary privileges")
	}
	if diagnostics.HasError() {
		return
	}
	documents := v1alpha1.Documents{Hypervisors: []v1alpha1.Hypervisor{*document}}
	v1alpha1.SetDefaults(&documents)
	*document = documents.Hypervisors[0]
	_, problems := documents.Validate()
	for _, problem := range problems {
		if field, is := strings.CutPrefix(problem.Field.Path, "spec.proxmox."); is {
			diagnostics.AddAttributeError(attributeOf(field), "The configuration of the provider is not valid", problem.Message)
		}
	}
}

// attributeOf is the attribute for a field of spec.proxmox.
func attributeOf(field string) path.Path {
	names := map[string]string{
		"tls.fingerprint": "fingerprint", "tls.caFile": "ca_file", "tls.insecure": "insecure", "resourcePool": "resource_pool", "isoStorage": "iso_storage",
		"credentials.username": "username", "credentials.token": "token", "credentials.password": "password",
	}
	first, _, _ := strings.Cut(field, ".")
	return path.Root(cmp.Or(names[field], first))
}

// bareURL removes the path of a URL: the other providers have https://pve1:8006/api2/json.
func bareURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return text
	}
	return u.Scheme + "://" + u.Host
}

func isTrue(text string) bool {
	yes, err := strconv.ParseBool(text)
	return err == nil && yes
}
