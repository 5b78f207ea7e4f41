package capture

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// cluster holds the answers of a cluster, unordered.
type cluster struct {
	Login       string
	Version     apiVersion
	Nodes       []apiNode
	Status      []apiStatusEntry
	Options     apiOptions
	Guests      []apiGuest
	Storages    []apiStorage
	Mappings    []apiMapping
	Pools       []apiPool
	HA          []apiHA
	Users       []apiUser
	Groups      []apiGroup
	Roles       []apiRole
	ACL         []apiACL
	Permissions permissions // of the login, by path
	Hosts       map[string]*hostAnswers
	VMs         map[int]*vmAnswers
	// Failed are refused reads: path and reason.
	Failed map[string]error `json:"-"`
}

// hostAnswers holds the answers of one host.
type hostAnswers struct {
	Silent   error `json:"-"` // it did not answer
	Status   apiHostStatus
	Network  []apiInterface
	PCI      []apiPCI
	Storages []apiHostStorage
	Guests   []apiGuest
	Volumes  map[string][]apiVolume // by storage
}

// vmAnswers holds the answers for one VM.
type vmAnswers struct {
	Guest   apiGuest
	Options []apiPending
	Failed  error `json:"-"` // why the options are unknown
}

// reader fills a cluster, by requests that run in parallel.
type reader struct {
	client   *client
	cluster  *cluster
	parallel int
	progress func(Progress)
	mu       sync.Mutex
}

// job is one request with the function for its answer.
type job func(ctx context.Context) error

func readCluster(ctx context.Context, c *client, o Options) (*cluster, error) {
	login, err := loginOf(o.Token)
	if err != nil {
		return nil, err
	}
	r := &reader{client: c, parallel: o.parallel(), progress: o.Progress, cluster: &cluster{Login: login, Permissions: permissions{},
		Hosts: map[string]*hostAnswers{}, VMs: map[int]*vmAnswers{}, Failed: map[string]error{}}}
	steps := []struct {
		what string
		jobs func() []job
	}{
		// Alone and first: it verifies address and login.
		{"version", func() []job { return []job{r.must("/version", &r.cluster.Version)} }},
		{"version", func() []job { return []job{r.known} }},
		{"cluster", r.clusterJobs},
		{"hosts", r.probes},
		{"hosts", r.hostJobs},
		{"volumes", r.volumeJobs},
		{"VMs", r.vmJobs},
	}
	for _, step := range steps {
		if err := r.run(ctx, step.what, step.jobs()); err != nil {
			return nil, err
		}
	}
	return r.cluster, nil
}

// known refuses versions that pvesim does not support.
func (r *reader) known(context.Context) error {
	version := r.cluster.Version.Version
	if strings.HasPrefix(version, "8.") || strings.HasPrefix(version, "9.") {
		return nil
	}
	return fmt.Errorf("%s is Proxmox VE %q, and pvesim simulates versions 8 and 9; a newer pvesim may know it", r.client.base, version)
}

// run runs jobs with limited parallelism, and ends with the first error.
func (r *reader) run(ctx context.Context, what string, jobs []job) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.parallel)
	done := 0
	for _, job := range jobs {
		group.Go(func() error {
			if err := job(ctx); err != nil {
				return err
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if done++; r.progress != nil {
				r.progress(Progress{What: what, Done: done, Total: len(jobs)})
			}
			return nil
		})
	}
	return group.Wait()
}

// must reads data that a capture requires.
func (r *reader) must(path string, out any) job {
	return func(ctx context.Context) error { return r.client.get(ctx, "", path, out) }
}

// may reads data that may be refused to the login; a refusal is stored in Failed.
func (r *reader) may(host, path string, out any) job {
	return func(ctx context.Context) error {
		err := r.client.get(ctx, host, path, out)
		if !tolerable(host, err) {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.cluster.Failed[path] = err
		return nil
	}
}

// tolerable reports whether a capture can continue after an error, with data missing.
func tolerable(host string, err error) bool {
	var failed *Error
	if !errors.As(err, &failed) {
		return false
	}
	return failed.kind == denied || failed.kind == refused || failed.kind == unreachable && host != ""
}

// asked are paths whose privileges decide which objects a login sees. The list of all
// permissions lacks them when there is no entry for them.
var asked = []string{"/", "/access", "/access/groups", "/mapping/pci", "/nodes", "/pool", "/sdn/zones/localnetwork", "/storage", "/vms"}

func (r *reader) clusterJobs() []job {
	c := r.cluster
	jobs := []job{
		r.must("/nodes", &c.Nodes), r.must("/cluster/resources?type=vm", &c.Guests), r.permissions(""),
		r.may("", "/cluster/status", &c.Status), r.may("", "/cluster/options", &c.Options), r.may("", "/storage", &c.Storages),
		r.may("", "/cluster/mapping/pci", &c.Mappings), r.may("", "/pools", &c.Pools), r.may("", "/cluster/ha/resources", &c.HA),
		r.may("", "/access/users?full=1", &c.Users), r.may("", "/access/groups", &c.Groups), r.may("", "/access/roles", &c.Roles),
		r.may("", "/access/acl", &c.ACL),
	}
	for _, path := range asked {
		jobs = append(jobs, r.permissions(path))
	}
	return jobs
}

// permissions reads what the login may do on a path, or on all with entries.
func (r *reader) permissions(path string) job {
	return func(ctx context.Context) error {
		question := "/access/permissions"
		if path != "" {
			question += "?path=" + url.QueryEscape(path)
		}
		answer := permissions{}
		err := r.client.get(ctx, "", question, &answer)
		if err != nil && (path == "" || !tolerable("", err)) {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if path != "" && answer[path] == nil && err == nil {
			answer[path] = map[string]scalar{}
		}
		for path, granted := range answer {
			r.cluster.Permissions[path] = granted
		}
		return nil
	}
}

// probes read something from each host that every login may see. A host that does not
// answer gets no more requests.
func (r *reader) probes() []job {
	var jobs []job
	for _, node := range r.cluster.Nodes {
		answers := &hostAnswers{Volumes: map[string][]apiVolume{}}
		r.cluster.Hosts[node.Node] = answers
		if node.Status == "offline" {
			answers.Silent = errors.New("the cluster says that it is offline")
			continue
		}
		jobs = append(jobs, func(ctx context.Context) error {
			var version apiVersion
			err := r.client.get(ctx, node.Node, onHost(node.Node, "version"), &version)
			if err != nil && !tolerable(node.Node, err) {
				return err
			}
			answers.Silent = err
			return nil
		})
	}
	return jobs
}

func onHost(host, call string) string { return "/nodes/" + url.PathEscape(host) + "/" + call }

func (r *reader) hostJobs() []job {
	var jobs []job
	for name, host := range r.cluster.Hosts {
		if host.Silent != nil {
			continue
		}
		jobs = append(jobs,
			r.may(name, onHost(name, "status"), &host.Status),
			r.may(name, onHost(name, "network"), &host.Network),
			r.may(name, onHost(name, "storage"), &host.Storages),
			r.may(name, onHost(name, "qemu"), &host.Guests),
			// With an empty list of hidden classes the answer includes bridges (recording 040).
			r.may(name, onHost(name, "hardware/pci?pci-class-blacklist="), &host.PCI),
		)
	}
	return jobs
}

// fileContents are the kinds of volumes in a world besides disks of VMs.
var fileContents = []string{"import", "iso", "snippets", "vztmpl"}

// volumeJobs read the files of storages; a shared storage is read from one host only.
func (r *reader) volumeJobs() []job {
	var jobs []job
	seen := map[string]bool{}
	for _, name := range r.hostNames() {
		host := r.cluster.Hosts[name]
		for _, there := range host.Storages {
			at := slices.IndexFunc(r.cluster.Storages, func(s apiStorage) bool { return s.Storage == there.Storage })
			if at < 0 || !there.Active.set() {
				continue
			}
			storage := r.cluster.Storages[at]
			if storage.shared() && seen[storage.Storage] {
				continue
			}
			seen[storage.Storage] = true
			for _, content := range fileContents {
				if slices.Contains(split(storage.Content), content) {
					jobs = append(jobs, r.volumes(name, storage.Storage, content))
				}
			}
		}
	}
	return jobs
}

func (r *reader) hostNames() []string {
	var names []string
	for name, host := range r.cluster.Hosts {
		if host.Silent == nil {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, natural)
	return names
}

func (r *reader) volumes(host, storage, content string) job {
	return func(ctx context.Context) error {
		var list []apiVolume
		call := onHost(host, fmt.Sprintf("storage/%s/content?content=%s", url.PathEscape(storage), content))
		if err := r.may(host, call, &list)(ctx); err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		volumes := r.cluster.Hosts[host].Volumes
		volumes[storage] = append(volumes[storage], list...)
		return nil
	}
}

// vmJobs read the current and pending options of each VM: one request per VM.
func (r *reader) vmJobs() []job {
	var jobs []job
	for _, guest := range r.guests() {
		answers := &vmAnswers{Guest: guest}
		r.cluster.VMs[int(guest.VMID)] = answers
		host := r.cluster.Hosts[guest.Node]
		switch {
		case host == nil:
			answers.Failed = errors.New("its host is not in the list of hosts")
		case host.Silent != nil:
			answers.Failed = host.Silent
		default:
			jobs = append(jobs, r.vm(answers))
		}
	}
	return jobs
}

func (r *reader) vm(answers *vmAnswers) job {
	host := answers.Guest.Node
	return func(ctx context.Context) error {
		err := r.client.get(ctx, host, onHost(host, fmt.Sprintf("qemu/%d/pending", answers.Guest.VMID)), &answers.Options)
		if err != nil && !tolerable(host, err) {
			return err
		}
		answers.Failed = err
		return nil
	}
}

// guests returns the cluster's VMs with the data of their hosts: the cluster's list lacks
// names and power states while statistics are missing.
func (r *reader) guests() []apiGuest {
	var all []apiGuest
	for _, guest := range r.cluster.Guests {
		if guest.Type != "qemu" {
			continue
		}
		if host := r.cluster.Hosts[guest.Node]; host != nil {
			at := slices.IndexFunc(host.Guests, func(g apiGuest) bool { return g.VMID == guest.VMID })
			if at >= 0 {
				guest.Status, guest.Name = host.Guests[at].Status, host.Guests[at].Name
			}
		}
		all = append(all, guest)
	}
	return all
}

// shared reports whether a storage has the same content on all hosts. Network storages
// have, whatever their section says.
func (s apiStorage) shared() bool {
	return s.Shared.set() || slices.Contains([]string{"cephfs", "cifs", "esxi", "iscsi", "iscsidirect", "nfs", "pbs", "rbd"}, strings.ToLower(s.Type))
}
