package proxmox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// kinds says which decision each kind of Proxmox error asks for.
var kinds = map[pve.Kind]fault.Kind{
	pve.NotFound:         fault.NotFound,
	pve.Exists:           fault.Exists,
	pve.Changed:          fault.Conflict,
	pve.Locked:           fault.Busy,
	pve.Denied:           fault.Denied,
	pve.Unauthenticated:  fault.Denied,
	pve.Invalid:          fault.Invalid,
	pve.InUse:            fault.Exists,
	pve.Hardware:         fault.Refused,
	pve.Protected:        fault.Refused,
	pve.Running:          fault.Busy,
	pve.NotRunning:       fault.Busy,
	pve.AlreadyRunning:   fault.Busy,
	pve.AgentUnavailable: fault.Unavailable,
	pve.Unsupported:      fault.Unsupported,
	pve.Unavailable:      fault.Unavailable,
	pve.NoQuorum:         fault.Unavailable,
	pve.TaskFailed:       fault.Failed,
	pve.Untrusted:        fault.Denied,
	pve.NoSpace:          fault.Refused,
	pve.NoMemory:         fault.Refused,
	pve.Canceled:         fault.Unavailable, // by a time limit; see wrap
}

// fixes is the next step for kinds of errors where it is the same everywhere.
var fixes = map[pve.Kind]string{
	pve.NotFound:        "it went away meanwhile: look with gpuworker status, then run the same command again",
	pve.Denied:          "gpuworker role prints the commands that grant what is needed",
	pve.Unauthenticated: "check the token or password, and that the user is enabled and not expired",
	pve.Locked:          "something else works on this VM: look at its task list, then run the same command again",
	pve.Changed:         "somebody else changed it at the same time: run the same command again",
	pve.Unavailable:     "check that the host is up and the endpoint right, then run the same command again",
	pve.Canceled:        "the host answers too slowly: find out why, then run the same command again",
	pve.Hardware:        "gpuworker check says which layer is not ready",
	pve.InUse:           "gpuworker gpus says who holds the card",
	pve.Untrusted:       "compare with the fingerprint that pvenode cert info prints on the host for pveproxy-ssl.pem, or for pve-ssl.pem when there is none, and fix tls of the Hypervisor",
	pve.NoSpace:         "free space on the storage, or name another in machine.disk.storage",
	pve.TaskFailed:      "the message is the hypervisor's: the task's log on the host says more; fix that, then run the same command again",
	pve.NoMemory:        "free memory on the host, or make the worker smaller: a GPU worker needs all of its memory really free",
}

// otherFix is the next step for what the hypervisor says and we do not know.
const otherFix = "the message is the hypervisor's: look at the task list and the system log of the host, fix that, then run the same command again"

// wrap turns an error of the client into a fault that says what was being done
// and where. nil stays nil, and what is a fault already keeps its kind. Only what
// may go on by itself is fault.Unavailable: of a task that is over nothing does.
func (b *Backend) wrap(err error, doing string, where fault.Place) error {
	if err == nil {
		return nil
	}
	where.Hypervisor = b.name
	var own *fault.Error
	if errors.As(err, &own) {
		return err
	}
	if pve.KindOf(err) == pve.Canceled && errors.Is(err, context.Canceled) {
		return &fault.Error{Kind: fault.Interrupted, Doing: doing, Where: where, Cause: err}
	}
	f := b.faultOf(err, doing, where)
	var ended *taskError
	if f.Kind == fault.Unavailable && errors.As(err, &ended) {
		f.Kind = fault.Busy
	}
	return f
}

func (b *Backend) faultOf(err error, doing string, where fault.Place) *fault.Error {
	kind := pve.KindOf(err)
	if kind == pve.NoQuorum {
		return b.noQuorum(err, doing, where)
	}
	decision, known := kinds[kind]
	if !known {
		decision = fault.Unknown
	}
	return &fault.Error{Kind: decision, Doing: doing, Where: where, Fix: cmp.Or(fixFor(err, where), fixes[kind], otherFix), Cause: err}
}

// vfioForm is what QEMU says of a card that it could not open: vfio-pci has not
// got it, or not all of its IOMMU group.
var vfioForm = regexp.MustCompile(`vfio ([0-9a-f:.]+): (?:Could not open|failed to open) '?/dev/vfio/`)

// fixFor is the next step where more is known than the kind of the error.
func fixFor(err error, where fault.Place) string {
	var proxy *pve.ProxyError
	var e *pve.Error
	switch {
	case errors.As(err, &proxy):
		host, _, err := net.SplitHostPort(proxy.Target)
		if err != nil {
			host = proxy.Target
		}
		return "let the proxy through to " + proxy.Target + ", or go past it: add " + host + " to NO_PROXY in the environment"
	case !errors.As(err, &e):
		return ""
	case e.Kind == pve.Hardware:
		if m := vfioForm.FindStringSubmatch(err.Error()); m != nil {
			return fmt.Sprintf("gpuworker-host check %[1]s   (on %[2]s) says who has the card; gpuworker-host bind %[1]s   (on %[2]s) shows how vfio-pci gets it",
				m[1], cmp.Or(where.Host, e.Node))
		}
	case e.Kind == pve.NotFound && e.What == "pool":
		return "make the resource pool, or correct spec.proxmox.resourcePool of the Hypervisor: gpuworker role prints the commands that make it"
	}
	return ""
}

// quorumLook is how long the cluster may take to say whether it has its quorum.
const quorumLook = 10 * time.Second

// noQuorum is the fault of a write that the cluster refused for want of quorum. It
// asks the cluster once more, to name the hosts that are missing; not in the
// caller's time, which may be over.
func (b *Backend) noQuorum(err error, doing string, where fault.Place) *fault.Error {
	ctx, cancel := context.WithTimeout(context.Background(), quorumLook)
	defer cancel()
	f := &fault.Error{Kind: fault.Unavailable, Doing: doing, Where: where, Cause: err}
	switch status, lookErr := b.client.ClusterStatus(ctx); {
	case lookErr != nil:
		f.Why = "the cluster has lost its quorum, it seems: nothing can be written"
		f.Fix = "look on any host: pvecm status; when it is quorate again, run the same command again"
	case status.Quorate:
		f.Why = "the cluster could not write, as without its quorum; it has it now"
		f.Fix = "run the same command again; if that does not help, look on the host: pvecm status, and systemctl status pve-cluster"
	default:
		frozen := frozen(status)
		f.Why, f.Fix = frozen.Why, frozen.Fix
	}
	return f
}

// frozen says that a cluster without quorum takes no changes, and which hosts it
// misses; nil when it has its quorum.
func frozen(status pve.ClusterStatus) *inventory.Frozen {
	if status.Quorate {
		return nil
	}
	var missing []string
	for _, node := range status.Nodes {
		if !node.Online {
			missing = append(missing, node.Name)
		}
	}
	slices.Sort(missing)
	why := fmt.Sprintf("the cluster has lost its quorum, nothing can be written: %d of %d hosts are up", len(status.Nodes)-len(missing), len(status.Nodes))
	return &inventory.Frozen{
		Why: why,
		Fix: "bring back " + cmp.Or(strings.Join(missing, ", "), "the network between the hosts") + "; on a host that is up, pvecm status shows who is missing",
	}
}

// ambiguous reports whether a request may or may not have been carried out: look
// before doing anything else.
func ambiguous(err error) bool {
	var e *pve.Error
	return errors.As(err, &e) && e.Ambiguous
}
