// Package provider is the Terraform provider: its configuration and the list of what it
// has. The work is done by the engine.
package provider

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/action"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/list"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/bootstrap"
	"github.com/gpuworker/gpuworker/internal/buildinfo"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/guestbuild"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/logging"
	"github.com/gpuworker/gpuworker/internal/proxmox"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/command"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/data"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/functions"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/mapping"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/pool"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/session"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/vm"
)

// Address is the address of the provider in a registry.
const Address = "registry.terraform.io/gpuworker/gpuworker"

type gpuworker struct {
	version string
	log     io.Writer
	env     Environment
	shared  *session.Shared
}

var (
	_ provider.ProviderWithActions       = &gpuworker{}
	_ provider.ProviderWithListResources = &gpuworker{}
	_ provider.ProviderWithFunctions     = &gpuworker{}
)

// Serve runs the provider for Terraform until Terraform ends it.
func Serve(ctx context.Context, version string, debug bool) error {
	options := []tf6server.ServeOpt{}
	if debug {
		options = append(options, tf6server.WithManagedDebug())
	}
	server := New(version, os.Stderr, os.Getenv) // Terraform adds the log to its own, see TF_LOG
	return tf6server.Serve(Address, func() tfprotov6.ProviderServer { return server }, options...)
}

// Environment returns the value of an environment variable; "" when it is not set.
type Environment func(name string) string

// New makes the provider with its protocol server. log gets each observation, call and
// change. The login that is not configured is read from env.
func New(version string, log io.Writer, env Environment) tfprotov6.ProviderServer {
	shared := &session.Shared{}
	return session.Watch(providerserver.NewProtocol6(&gpuworker{version: version, log: log, env: env, shared: shared})(), shared)
}

func (p *gpuworker) Metadata(_ context.Context, _ provider.MetadataRequest, response *provider.MetadataResponse) {
	response.TypeName, response.Version = "gpuworker", p.version
}

func (p *gpuworker) Schema(_ context.Context, _ provider.SchemaRequest, response *provider.SchemaResponse) {
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Optional: true, MarkdownDescription: description}
	}
	secret := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Optional: true, Sensitive: true, MarkdownDescription: description}
	}
	response.Schema = schema.Schema{
		MarkdownDescription: "gpuworker makes virtual machines with whole NVIDIA GPUs in Proxmox VE hosts. A plan shows host and card of each VM, " +
			"and refuses what cannot work. An empty block takes everything from the environment.",
		Attributes: map[string]schema.Attribute{
			"name":          text("Name of the hypervisor in messages. Default: `proxmox`."),
			"endpoint":      text("URL of any host of the cluster, `https://pve1.example.org:8006`. Default: `GPUWORKER_ENDPOINT`, else `PROXMOX_VE_ENDPOINT`, else `PM_API_URL`."),
			"token":         secret("API token, `user@realm!name=secret`. Default: `GPUWORKER_TOKEN`, else `PROXMOX_VE_API_TOKEN`, else `PM_API_TOKEN_ID` with `PM_API_TOKEN_SECRET`. `gpuworker role` prints how to make one. May be ephemeral."),
			"username":      text("User who logs in with `password`, `root@pam`. Default: `GPUWORKER_USERNAME`, else `PROXMOX_VE_USERNAME`, else `PM_USER`."),
			"password":      secret("Password of `username`. Default: `GPUWORKER_PASSWORD`, else `PROXMOX_VE_PASSWORD`, else `PM_PASS`. May be ephemeral."),
			"ca":            text("Certificate authorities to trust, as PEM text. Default: those of the system."),
			"ca_file":       text("File with the certificate authorities to trust, such as a copy of `/etc/pve/pve-root-ca.pem`. Default: `GPUWORKER_CA_FILE`."),
			"fingerprint":   text("SHA-256 fingerprint of the certificate of the server, as `pvenode cert info` prints it. Default: `GPUWORKER_FINGERPRINT`."),
			"insecure":      schema.BoolAttribute{Optional: true, MarkdownDescription: "Turn off TLS verification; only for test labs. Default: `GPUWORKER_INSECURE`, else `PROXMOX_VE_INSECURE`, else `PM_TLS_INSECURE`, if no certificate is given."},
			"resource_pool": text("Proxmox resource pool for new VMs. Default: `GPUWORKER_RESOURCE_POOL`."),
			"iso_storage":   text("Storage for the ISO images with the data for cloud-init. Each host that runs workers with a seed ISO must have it, and it must allow ISO images. Default: `GPUWORKER_ISO_STORAGE`, else `local`."),
			"attach":        text("How a card is attached: `Mapping` (default; works with an API token) or `Raw` (needs root@pam with a password)."),
			"guest_dir":     text("Directory with `gpuworker-guest-linux-amd64` and `-arm64`, or one of them, which guests with a `bootstrap` get. They are not compared with a release. Default: `GPUWORKER_GUEST_DIR`, else those beside the provider, with the checksums that it holds."),
			"vmids": schema.SingleNestedAttribute{
				Optional: true, MarkdownDescription: "Range of numbers for new VMs. Reserve it for gpuworker. Default: 9100 to 9899.",
				Attributes: map[string]schema.Attribute{
					"first": schema.Int64Attribute{Required: true, MarkdownDescription: "Lowest number."},
					"last":  schema.Int64Attribute{Required: true, MarkdownDescription: "Highest number."},
				},
			},
		},
	}
}

func (p *gpuworker) Configure(ctx context.Context, request provider.ConfigureRequest, response *provider.ConfigureResponse) {
	var m model
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	response.ResourceData, response.DataSourceData = p.shared, p.shared
	response.ActionData, response.ListResourceData = p.shared, p.shared
	if m.unknown() { // nothing can be observed in this plan
		return
	}
	document, login := m.hypervisor(p.env, &response.Diagnostics)
	if response.Diagnostics.HasError() {
		return
	}
	configured := configuration{login, cmp.Or(m.GuestDir.ValueString(), p.env("GPUWORKER_GUEST_DIR"))}
	log := logging.New(p.log, logging.Text, logging.Calls)
	login.Limit, login.Logger = proxmox.NewLimit(), log
	err := p.shared.Open(engine.New(engine.Options{
		By: engine.Author(), Log: log, Builds: guestBuilds(configured.guestDir, log), Version: buildinfo.This().Version,
		Open: func(_ context.Context, _ *v1alpha1.Documents, document *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
			return proxmox.Open(document, login)
		},
	}), document, configured)
	if err != nil {
		diags.AddError(&response.Diagnostics, "The provider has two configurations", err, diags.Nowhere)
	}
}

// configuration is compared with that of another provider block in one process.
type configuration struct {
	login    proxmox.Login
	guestDir string
}

// guestBuilds reads gpuworker-guest once, when the first guest needs it. Which builds they
// are is in the log.
func guestBuilds(dir string, log *slog.Logger) func() ([]bootstrap.Build, error) {
	return sync.OnceValues(func() ([]bootstrap.Build, error) {
		found, err := guestbuild.Finder{Dir: dir}.Find()
		for _, note := range found.Notes() {
			log.Info(note)
		}
		return found.Builds, err
	})
}

func (p *gpuworker) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{vm.NewResource, mapping.NewResource, pool.NewResource}
}

func (p *gpuworker) DataSources(context.Context) []func() datasource.DataSource {
	return data.Sources()
}

func (p *gpuworker) Functions(context.Context) []func() function.Function { return functions.All() }

func (p *gpuworker) Actions(context.Context) []func() action.Action {
	return []func() action.Action{command.NewPark, command.NewUnpark, command.NewReplace}
}

func (p *gpuworker) ListResources(context.Context) []func() list.ListResource {
	return []func() list.ListResource{vm.NewLister}
}
