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

// completionWait is the timeout for asking the hypervisors during completion. If none of
// them answers in time, the workers of the documents are offered, but no VMs or hosts.
const completionWait = 2 * time.Second

// complete offers values of an argument or a flag: "NAME<tab>description". Arguments that
// were already typed are left out.
func (a *app) complete(values func(context.Context, session) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, typed []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
		defer cancel()
		a.files = slices.Compact(slices.Sorted(slices.Values(a.files))) // cobra parses the flags twice, so each -f is in the list twice
		s, err := a.engine(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		offered := slices.DeleteFunc(values(ctx, s), func(value string) bool {
			name, _, _ := strings.Cut(value, "\t")
			return slices.Contains(typed, name)
		})
		return offered, cobra.ShellCompDirectiveNoFileComp
	}
}

// oneArgument offers values for the first argument only.
func oneArgument(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, typed []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(typed) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, typed, begun)
	}
}

// workerNames returns the declared workers and all other workers of ours, with states.
func workerNames(ctx context.Context, s session) []string {
	rows, _, err := s.engine.Status(ctx, s.documents, nil)
	if err != nil {
		return declaredNames(s)
	}
	var names []string
	for _, row := range rows {
		names = append(names, offer(row.Worker, string(row.State), row.Host))
	}
	if len(names) == 0 { // the hypervisors that answered have no workers, neither existing nor declared
		return declaredNames(s)
	}
	return names
}

// missingNames returns the declared workers in state Missing or Refused. If no hypervisor
// answers, it returns all declared workers.
func missingNames(ctx context.Context, s session) []string {
	rows, _, err := s.engine.Status(ctx, s.documents, nil)
	if err != nil {
		return declaredNames(s)
	}
	var names []string
	for _, row := range rows {
		if row.State == status.Missing || row.State == status.Refused {
			names = append(names, offer(row.Worker, string(row.State), ""))
		}
	}
	return names
}

func declaredNames(s session) []string {
	var names []string
	for i := range s.documents.WorkerPools {
		pool := &s.documents.WorkerPools[i]
		for n := 1; n <= pool.Size(); n++ {
			names = append(names, offer(pool.WorkerName(n), "declared", ""))
		}
	}
	return names
}

// foreignVMs returns the VMs that have neither our tag nor our record. Templates are left
// out.
func foreignVMs(ctx context.Context, s session) []string {
	seen, err := s.engine.Observe(ctx, s.documents)
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

// hostLogins returns values of --ssh: root@{host}, which stands for all hosts, and
// root@NAME for each host.
func hostLogins(ctx context.Context, s session) []string {
	logins := []string{offer("root@{host}", "all hosts", "")}
	seen, err := s.engine.Hosts(ctx, s.documents)
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
