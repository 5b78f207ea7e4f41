package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/status"
	"github.com/gpuworker/gpuworker/internal/term"
)

// completionWait is the timeout for asking the hypervisors during completion. After
// it, only names from the documents are offered.
const completionWait = 2 * time.Second

// complete offers values of an argument or a flag: "NAME<tab>description". Values that
// were already typed are left out.
func (a *app) complete(values func(context.Context, session) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, typed []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
		defer cancel()
		a.files = slices.Compact(slices.Sorted(slices.Values(a.files))) // cobra reads the flags twice
		e, err := a.engine(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		offered := slices.DeleteFunc(values(ctx, e), func(value string) bool {
			name, _, _ := strings.Cut(value, "\t")
			return slices.Contains(typed, name)
		})
		return offered, cobra.ShellCompDirectiveNoFileComp
	}
}

// oneArgument offers values for the first argument only.
func oneArgument(of cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, typed []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(typed) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return of(cmd, typed, begun)
	}
}

// workerNames returns the declared workers and all other workers of ours, with states.
func workerNames(ctx context.Context, e session) []string {
	rows, _, err := e.engine.Status(ctx, e.documents, nil)
	if err != nil {
		return declaredNames(e)
	}
	var names []string
	for _, row := range rows {
		names = append(names, offer(row.Worker, string(row.State), row.Host))
	}
	if len(names) == 0 {
		return declaredNames(e)
	}
	return names
}

// missingNames returns the declared workers that have no VM.
func missingNames(ctx context.Context, e session) []string {
	rows, _, err := e.engine.Status(ctx, e.documents, nil)
	if err != nil {
		return declaredNames(e)
	}
	var names []string
	for _, row := range rows {
		if row.State == status.Missing || row.State == status.Refused {
			names = append(names, offer(row.Worker, string(row.State), ""))
		}
	}
	return names
}

func declaredNames(e session) []string {
	var names []string
	for i := range e.documents.WorkerPools {
		pool := &e.documents.WorkerPools[i]
		for n := 1; n <= pool.Size(); n++ {
			names = append(names, offer(pool.WorkerName(n), "declared", ""))
		}
	}
	return names
}

// foreignVMs returns the VMs that are not ours.
func foreignVMs(ctx context.Context, e session) []string {
	seen, err := e.engine.Observe(ctx, e.documents)
	if err != nil {
		return nil
	}
	var ids []string
	for _, hypervisor := range seen.Hypervisors {
		for i := range hypervisor.Snapshot.VMs {
			vm := &hypervisor.Snapshot.VMs[i]
			if ownership, _ := vm.Ownership(); ownership == inventory.Foreign && !vm.Template {
				ids = append(ids, offer(vm.ID, vm.Name, vm.Home()))
			}
		}
	}
	return ids
}

// hostLogins returns values of --ssh: all hosts, and each host, as root.
func hostLogins(ctx context.Context, e session) []string {
	logins := []string{offer("root@{host}", "all hosts", "")}
	seen, err := e.engine.Hosts(ctx, e.documents)
	if err != nil {
		return logins
	}
	for _, hypervisor := range seen.Hypervisors {
		for i := range hypervisor.Snapshot.Hosts {
			logins = append(logins, "root@"+string(term.Cell(hypervisor.Snapshot.Hosts[i].Name)))
		}
	}
	return logins
}

// offer formats a name and its description for cobra. Both may come from outside and
// are cleaned.
func offer(name, what, host string) string {
	if host != "" {
		what = fmt.Sprintf("%s on %s", what, host)
	}
	return string(term.Cell(name)) + "\t" + string(term.Cell(what))
}
