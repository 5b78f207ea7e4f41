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

// kinds maps each kind of Proxmox error to a kind of fault.
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
	pve.AgentForbidden:   fault.Denied,
	pve.AgentFailed:      fault.Failed,
	pve.Unsupported:      fault.Unsupported,
	pve.Unavailable:      fault.Unavailable,
	pve.NoQuorum:         fault.Unavailable,
	pve.TaskFailed:       fault.Failed,
	pve.Untrusted:        fault.Denied,
	pve.NoSpace:          fault.Refused,
	pve.NoMemory:         fault.Refused,
	pve.Canceled:         fault.Unavailable, // by a timeout; see wrap
}

// fixes are the next steps for errors whose kind is enough to choose one.
var fixes = map[pve.Kind]string{
	pve.NotFound:        "it does not exist any more: look with gpuworker status, then run the same command again",
	pve.Denied:          "gpuworker role prints the commands that grant what is needed",
	pve.Unauthenticated: "check the token or password, and that the user is enabled and not expired",
	pve.Locked:          "something else works on this VM: look at its task list, then run the same command again",
	pve.Changed:         "another user or program changed it at the same time: run the same command again",
	pve.Unavailable:     "check that the host is up and the endpoint is correct, then run the same command again",
	pve.Canceled:        "the host answers too slowly: find out why, then run the same command again",
	pve.Hardware:        "gpuworker check shows which layer is not ready",
	pve.InUse:           "gpuworker gpus shows which VM has the card",
	pve.Untrusted:       "compare with the fingerprint that pvenode cert info prints on the host for pveproxy-ssl.pem, or for pve-ssl.pem when there is none, and fix tls of the Hypervisor",
	pve.AgentFailed:     "the agent in the guest says so: log in and look whether a disk is full or read-only, then run the same command again",
	pve.NoSpace:         "free space on the storage, or name another in machine.disk.storage",
	pve.TaskFailed:      "this message is from the hypervisor; the task's log on the host has details. Fix the cause, then run the same command again",
	pve.NoMemory:        "free memory on the host, or make the worker smaller: the host locks all memory of a GPU worker, so all of it must be free",
}

// otherFix is the next step for an error of the hypervisor that we do not know.
const otherFix = "this message is from the hypervisor. Look at the task list and the system log of the host, fix the cause, then run the same command again"

// wrap turns an error of the client into a fault that says what was being done and
// where. nil stays nil; a fault stays as it is. A task that has ended is never
// fault.Unavailable: that kind is for what may continue without us.
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

// vfioForm is QEMU's message about a card that it could not open: the card, or
// another function of its IOMMU group, is not bound to vfio-pci.
var vfioForm = regexp.MustCompile(`vfio ([0-9a-f:.]+): (?:Could not open|failed to open) '?/dev/vfio/`)

// seedForm is the name of a seed in a message.
var seedForm = regexp.MustCompile(`gpuworker-[0-9a-f-]{36}(-clean)?\.iso`)

// fixFor is the next step for errors that show more than their kind.
func fixFor(err error, where fault.Place) string {
	var proxy *pve.ProxyError
	var e *pve.Error
	switch {
	case errors.As(err, &proxy):
		host, _, err := net.SplitHostPort(proxy.Target)
		if err != nil {
			host = proxy.Target
		}
		return "allow the proxy to connect to " + proxy.Target + ", or bypass the proxy: add " + host + " to NO_PROXY in the environment"
	case !errors.As(err, &e):
		return ""
	case e.Kind == pve.Hardware:
		if m := vfioForm.FindStringSubmatch(err.Error()); m != nil {
			return fmt.Sprintf("gpuworker-host check %[1]s   (on %[2]s) shows which driver has the card; gpuworker-host bind %[1]s   (on %[2]s) shows how to bind it to vfio-pci",
				m[1], cmp.Or(where.Host, e.Node))
		}
	case e.Kind == pve.NotFound && e.What == "volume" && seedForm.MatchString(err.Error()):
		return "the image of the VM's seed was removed from the storage. Take it out of the VM's CD drive too (web interface: Hardware, CD/DVD Drive, Do not use any media), " +
			"then run the same command again: it makes the image again"
	case e.Kind == pve.NotFound && e.What == "pool":
		return "create the resource pool, or correct spec.proxmox.resourcePool of the Hypervisor: gpuworker role prints the commands that create it"
	}
	return ""
}

// quorumLook is the timeout for asking the cluster whether it has quorum.
const quorumLook = 10 * time.Second

// noQuorum is the fault of a write that the cluster refused because it has no quorum.
// It asks the cluster which hosts are missing; with its own timeout, because the
// caller's may have passed.
func (b *Backend) noQuorum(err error, doing string, where fault.Place) *fault.Error {
	ctx, cancel := context.WithTimeout(context.Background(), quorumLook)
	defer cancel()
	f := &fault.Error{Kind: fault.Unavailable, Doing: doing, Where: where, Cause: err}
	switch status, lookErr := b.client.ClusterStatus(ctx); {
	case lookErr != nil:
		f.Why = "the cluster seems to have lost its quorum: nothing can be written"
		f.Fix = "look on any host: pvecm status; when it is quorate again, run the same command again"
	case status.Quorate:
		f.Why = "the cluster refused the write as if it had no quorum; it has quorum now"
		f.Fix = "run the same command again; if that does not help, look on the host: pvecm status, and systemctl status pve-cluster"
	default:
		frozen := frozen(status)
		f.Why, f.Fix = frozen.Why, frozen.Fix
	}
	return f
}

// frozen describes a cluster without quorum, which accepts no changes, and names the
// missing hosts; nil when it has quorum.
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

// ambiguous reports whether it is unknown if a request was carried out: read the
// state before doing anything else.
func ambiguous(err error) bool {
	var e *pve.Error
	return errors.As(err, &e) && e.Ambiguous
}
