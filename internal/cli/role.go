package cli

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// roleVersions are the versions that --pve-version takes.
var roleVersions = []string{"8", "9"}

func (a *app) roleCommand() *cobra.Command {
	version := ""
	cmd := &cobra.Command{
		Use:   "role",
		Short: "Print the commands that create a least-privilege login",
		Long: `Print the commands that create a role, a user, a token and the access rules that
these documents need on Proxmox VE, and nothing more. Each privilege has its
reason beside it. If the documents name a resource pool, it is created too. This
works before a login exists, because it does not contact the hypervisor.

Run the commands as root on any host of the cluster, and again when the documents
change. Then they update what exists: the token stays, and privileges that its
user and the token no longer need are revoked. So always name all files of one
cluster together.`,
		Example: `  gpuworker role -f lab.yaml
  gpuworker role -f lab.yaml --pve-version 8 | ssh root@pve1 sh`,
		RunE: verb(func(ctx context.Context, _ []string) error { return a.role(ctx, version) }),
	}
	cmd.Flags().StringVar(&version, "pve-version", "", "major `VERSION` of Proxmox VE, "+strings.Join(roleVersions, " or ")+" (default: the newest known)")
	return cmd
}

func (a *app) role(ctx context.Context, version string) error {
	major, _, _ := strings.Cut(version, ".")
	if version != "" && !slices.Contains(roleVersions, major) {
		return usage("--pve-version %q is not known; write %s", version, strings.Join(roleVersions, " or "))
	}
	documents, err := a.documents(ctx)
	if err != nil {
		return err
	}
	text, err := a.NewEngine(EngineRequest{Login: WithoutLogin, LookupEnv: a.LookupEnv, Warn: a.warn, Log: a.logger()}).Role(ctx, documents, version)
	if err != nil {
		return err
	}
	if !a.forPeople() {
		return a.machine(map[string][]string{"commands": strings.Split(strings.TrimRight(text, "\n"), "\n")})
	}
	_, err = io.WriteString(a.Out, text)
	return err
}
