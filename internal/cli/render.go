package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/bootstrap"
	"github.com/gpuworker/gpuworker/internal/buildinfo"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/guestbuild"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/internal/term"
)

// renderFlags are the flags of render.
type renderFlags struct {
	dir, worker string
	uuid, gpu   string
	macs        []string
	force       bool
}

func (a *app) renderCommand() *cobra.Command {
	var f renderFlags
	cmd := &cobra.Command{
		Use:   "render POOL --cloud-init DIR",
		Short: "Write the cloud-init files of a pool's workers, for other uses",
		Long: `Write the files with which cloud-init makes a new VM a worker: user-data,
meta-data, network-config, gpuworker-guest, and gpu-bootstrap.sh, a script of a few
lines that installs gpuworker-guest in a template. "apply" makes the same files by
itself; write them to look at them, to build a template, or for VMs that other
programs make. The hypervisor is not contacted.

DIR is made, and each worker has a directory of its own in it. With --worker the
files of that worker are in DIR itself. Existing files are not replaced, except
with --force. user-data may be read only by its owner.

The VM must have the UUID that is printed as its SMBIOS UUID. Networks are matched
by MAC address: of spec.networks[].macs, or of --mac. A single network with DHCP
needs none.`,
		Example: `  gpuworker render gpu-workers --cloud-init seed -f lab.yaml
  gpuworker render gpu-workers --cloud-init seed --worker gpu-workers-1`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: oneArgument(a.complete(poolNames)),
		RunE:              verb(func(ctx context.Context, args []string) error { return a.render(ctx, args[0], f) }),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "cloud-init", "", "write the files into `DIR`")
	flags.StringVar(&f.worker, "worker", "", "only for the worker `NAME`")
	a.addGuestDirFlag(cmd)
	flags.StringVar(&f.uuid, "uuid", "", "SMBIOS `UUID` of the VM, with --worker (default: made from the names of cluster, pool and worker)")
	flags.StringArrayVar(&f.macs, "mac", nil, "`MAC` address of a network card, in the order of spec.networks, with --worker; repeatable")
	flags.StringVar(&f.gpu, "gpu", "", "vendor and device `ID` of the GPU, \"10de:1eb8\" (default: that of spec.gpus)")
	flags.BoolVar(&f.force, "force", false, "replace existing files")
	_ = cmd.MarkFlagRequired("cloud-init")
	_ = cmd.MarkFlagDirname("cloud-init")
	_ = cmd.RegisterFlagCompletionFunc("worker", a.complete(func(_ context.Context, s session) []string { return declaredNames(s) }))
	return cmd
}

// poolNames returns the pools of the documents.
func poolNames(_ context.Context, s session) []string {
	var names []string
	for _, p := range s.documents.Pools() {
		names = append(names, offer(p.Name, "pool", ""))
	}
	return names
}

// renderedView is one worker whose files were written.
type renderedView struct {
	Worker    string   `json:"worker"`
	UUID      string   `json:"uuid"`
	Directory string   `json:"directory"`
	Files     []string `json:"files"`
}

func (a *app) render(ctx context.Context, name string, f renderFlags) error {
	documents, err := a.documents(ctx)
	if err != nil {
		return err
	}
	pool, ok := documents.WorkerPool(name)
	if !ok {
		return &fault.Error{Kind: fault.NotFound, Doing: "render " + name, Why: "there is no pool with this name in the documents", Fix: "name one of their pools, or other files with -f"}
	}
	numbers, err := workersToRender(pool, f)
	if err != nil {
		return err
	}
	builds, err := a.guestBuilds(pool)
	if err != nil {
		return err
	}
	var files []seedFile
	var views []renderedView
	for _, n := range numbers {
		written, view, err := renderWorker(pool, n, f, builds)
		if err != nil {
			return err
		}
		files, views = append(files, written...), append(views, view)
	}
	if err := writeSeeds(files, f.force); err != nil {
		return err
	}
	return a.printRendered(views)
}

// workersToRender returns the numbers of the workers.
func workersToRender(pool *v1alpha1.WorkerPool, f renderFlags) ([]int, error) {
	if f.worker != "" {
		n := pool.WorkerNumber(f.worker)
		if n < 1 || n > pool.Size() {
			return nil, &fault.Error{Kind: fault.NotFound, Doing: "render " + pool.Name, Why: fmt.Sprintf("it declares no worker %q", f.worker), Fix: "name one of its workers with --worker, or leave --worker out for all"}
		}
		return []int{n}, nil
	}
	if f.uuid != "" || len(f.macs) > 0 {
		return nil, usage("--uuid and --mac are of one VM; name its worker with --worker")
	}
	var numbers []int
	for n := 1; n <= pool.Size(); n++ {
		numbers = append(numbers, n)
	}
	if len(numbers) == 0 {
		return nil, &fault.Error{Kind: fault.Invalid, Doing: "render " + pool.Name, Why: "the pool declares no workers", Fix: "write gpus, replicas or names into it"}
	}
	return numbers, nil
}

// addGuestDirFlag adds --guest-dir to a command that gives gpuworker-guest to guests.
func (a *app) addGuestDirFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.guestDir, "guest-dir", "", "take gpuworker-guest-linux-amd64 and -arm64, or one of them, from `DIR`,\nwithout comparing them with this release (default: those beside gpuworker)")
	_ = cmd.MarkFlagDirname("guest-dir")
}

// guestBuilds reads the builds of gpuworker-guest that the pool's delivery needs.
func (a *app) guestBuilds(pool *v1alpha1.WorkerPool) ([]bootstrap.Build, error) {
	if b := pool.Spec.Bootstrap; b != nil && (b.Delivery == v1alpha1.DeliveryTemplate || b.Delivery == v1alpha1.DeliveryURL) {
		return nil, nil
	}
	found, err := guestbuild.Finder{Dir: a.guestDir}.Find()
	if err != nil {
		return nil, err
	}
	for _, note := range found.Notes() {
		a.say("%s\n", term.Clean(note))
	}
	return found.Builds, nil
}

// renderWorker returns the files of one worker.
func renderWorker(pool *v1alpha1.WorkerPool, n int, f renderFlags, builds []bootstrap.Build) ([]seedFile, renderedView, error) {
	name := pool.WorkerName(n)
	vm := bootstrap.VM{UUID: strings.ToLower(f.uuid), MACs: f.macs}
	if vm.UUID == "" {
		vm.UUID = bootstrap.UUIDOf(pool.Spec.KubeCluster + "/" + pool.Name + "/" + name)
	}
	if pool.IsGPU() {
		id, err := gpuID(pool, n, f.gpu)
		if err != nil {
			return nil, renderedView{}, err
		}
		vm.GPU = &guest.GPU{ID: id}
	}
	w := bootstrap.WorkerOf(pool, n, vm, builds, buildinfo.This().Version)
	seed, err := bootstrap.Render(w)
	if err != nil {
		return nil, renderedView{}, err
	}
	script, err := bootstrap.Script(w)
	if err != nil {
		return nil, renderedView{}, err
	}
	dir := f.dir
	if f.worker == "" {
		dir = filepath.Join(f.dir, name)
	}
	view := renderedView{Worker: name, UUID: vm.UUID, Directory: dir}
	var files []seedFile
	for _, file := range append(seed.Files(), bootstrap.File{Name: bootstrap.ScriptFile, Mode: 0o555, Data: script}) {
		files = append(files, seedFile{filepath.Join(dir, file.Name), os.FileMode(file.Mode) | 0o200, file.Data})
		view.Files = append(view.Files, file.Name)
	}
	return files, view, nil
}

// gpuID returns the ID of the GPU that worker n gets.
func gpuID(pool *v1alpha1.WorkerPool, n int, asked string) (string, error) {
	if asked != "" {
		id, err := pci.ParseID(asked)
		if err != nil {
			return "", usage("--gpu %q is not vendor and device of a card; write for example 10de:1eb8", asked)
		}
		return id.String(), nil
	}
	for i, request := range pool.Spec.GPUs {
		if n -= request.Cards(); n > 0 {
			continue
		}
		if request.ID != "" {
			return request.ID, nil
		}
		return "", &fault.Error{
			Kind: fault.Invalid, Doing: "render " + pool.Name, Why: fmt.Sprintf("spec.gpus[%d] does not say the vendor and device ID of its card, and the hypervisor is not asked", i),
			Fix: "give it with --gpu, for example --gpu 10de:1eb8; gpuworker gpus -o json prints it",
		}
	}
	return "", nil
}

// printRendered prints what was written.
func (a *app) printRendered(views []renderedView) error {
	if !a.forPeople() {
		return a.machine(map[string][]renderedView{"workers": views})
	}
	for _, v := range views {
		term.Fprintf(a.Out, "%s: %s in %s\n", v.Worker, strings.Join(v.Files, ", "), v.Directory)
		a.say("  UUID of its VM: %s\n", v.UUID)
	}
	if slices.Contains(views[0].Files, bootstrap.NetworkConfigFile) {
		a.say("networks are matched by the MAC addresses in network-config\n")
	}
	a.say("an ISO image of it: %s\n", term.Text(shell.Command("genisoimage -R -V cidata -o seed.iso %s", views[0].Directory)))
	return nil
}
