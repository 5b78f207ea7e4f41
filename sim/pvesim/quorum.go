package pvesim

import (
	"context"
	"errors"
	"time"
)

// What a cluster without quorum does. Its file system, /etc/pve, is read-only:
// reads are answered, VMs run and can be stopped, and whatever writes fails. A
// call that looks for quorum refuses at once, one that locks a file of the
// cluster tries for ten seconds, and a write of a VM's configuration fails where
// it happens, which may be in a task that has done its work. The texts are those
// of two real hosts, see the recipe in docs/pvesim.md.

// lockPatience is how long who wants a lock in /etc/pve tries, at intervals of a
// second.
const lockPatience = 10

// workerPID is the process that writes what no task does.
const workerPID = 998

var errNoCluster = errors.New("this world is one host that stands alone (cluster is empty): it has no quorum to lose")

// SetQuorum takes the quorum from the cluster or gives it back: with false, the
// host that answers does not see the others any more, as when corosync has
// stopped on them. They are listed as offline, and still answer requests. The
// error is for worlds without a cluster.
//
// Nothing else takes the quorum: with hosts that are offline, see SetHostOnline,
// the others have it all the same, as with a QDevice.
func (s *Sim) SetQuorum(quorate bool) error {
	s.lock()
	defer s.unlock()
	return s.setQuorum(quorate)
}

func (s *Sim) setQuorum(quorate bool) error {
	if s.clusters == "" {
		return errNoCluster
	}
	if !quorate && !s.alone && s.listLag <= 0 {
		s.broadcastAll() // which is what is last heard of the other hosts
	}
	s.alone = !quorate
	s.changed(HostChanged, s.localHost(), 0, "")
	return nil
}

// quorate reports whether there is quorum.
func (s *Sim) quorate() bool { return !s.alone }

// heard reports whether the host that answers hears from another one.
func (s *Sim) heard(name string) bool {
	return !s.hosts[name].Offline && (!s.alone || name == s.localHost())
}

// needQuorum is for calls that look for quorum before they do anything.
func (s *Sim) needQuorum() error {
	if !s.quorate() {
		return die("cluster not ready - no quorum?")
	}
	return nil
}

// clusterLock waits for a lock in /etc/pve to be there to be taken; that is at
// once, or never without quorum. The simulator's lock is held on entry and on
// return.
func (s *Sim) clusterLock(ctx context.Context, name string) error {
	for range lockPatience {
		if s.quorate() {
			return nil
		}
		s.unlock()
		err := s.sleep(ctx, Duration(time.Second))
		s.lock()
		if err != nil {
			return err
		}
	}
	return die("cfs-lock '%s' error: no quorum!", name)
}

// Locks of the files that calls change.
const (
	mappingLock = "file-mapping_pci_cfg"
	userLock    = "file-user_cfg" // users, tokens, groups, roles, access rules and pools
	shadowLock  = "file-priv_shadow_cfg"
	haLock      = "domain-ha"
)

// lockFor is clusterLock for a change; failed is what the error begins with, if
// anything.
func (s *Sim) lockFor(name, failed string) error {
	err := s.clusterLock(s.ctx, name)
	var refused *apiError
	if failed != "" && errors.As(err, &refused) {
		return die("%s: %v", failed, refused)
	}
	return err
}

// writable is what a process gets that writes the configuration of a VM.
func (s *Sim) writable(v *vm, pid int) error {
	if s.quorate() {
		return nil
	}
	return die("unable to open file '/etc/pve/nodes/%s/qemu-server/%d.conf.tmp.%d' - Permission denied", v.node, v.id, pid)
}
