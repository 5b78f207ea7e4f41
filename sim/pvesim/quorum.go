package pvesim

import (
	"context"
	"errors"
	"time"
)

// A cluster without quorum. Its file system, /etc/pve, is read-only: reads are answered,
// VMs continue to run and can be stopped, and all writes fail. A call that checks for
// quorum refuses at once; one that locks a file of the cluster tries for ten seconds. A
// write of a VM's configuration fails when it is made, which may be in a task that has
// already done its work. The texts are those of two real hosts, see the recipe in
// docs/pvesim.md.

// lockPatience is the number of attempts for a lock in /etc/pve, one per second.
const lockPatience = 10

// workerPID is the process that makes the writes outside of tasks.
const workerPID = 998

var errNoCluster = errors.New("this world is a single host without a cluster (cluster is empty), so it has no quorum")

// SetQuorum takes the quorum from the cluster or restores it. With false, the answering
// host has no contact with the others, as when corosync has stopped on them. They are
// listed as offline, but still answer requests. It returns an error for worlds without a
// cluster.
//
// Offline hosts do not take the quorum, see SetHostOnline: the others keep it, as with a
// QDevice.
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
		s.broadcastAll() // the last broadcast of the other hosts
	}
	s.alone = !quorate
	s.changed(HostChanged, s.localHost(), 0, "")
	return nil
}

// quorate reports whether the cluster has quorum.
func (s *Sim) quorate() bool { return !s.alone }

// heard reports whether the answering host has contact with another one.
func (s *Sim) heard(name string) bool {
	return !s.hosts[name].Offline && (!s.alone || name == s.localHost())
}

// needQuorum is for calls that check for quorum first.
func (s *Sim) needQuorum() error {
	if !s.quorate() {
		return die("cluster not ready - no quorum?")
	}
	return nil
}

// clusterLock waits for a lock in /etc/pve. With quorum it is available at once, without
// quorum never. The simulator's lock is held on entry and on return.
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

// lockFor is clusterLock for a change; failed is the beginning of the error text; it may be "".
func (s *Sim) lockFor(name, failed string) error {
	err := s.clusterLock(s.ctx, name)
	var refused *apiError
	if failed != "" && errors.As(err, &refused) {
		return die("%s: %v", failed, refused)
	}
	return err
}

// writable returns the error of a process that writes the configuration of a VM.
func (s *Sim) writable(v *vm, pid int) error {
	if s.quorate() {
		return nil
	}
	return die("unable to open file '/etc/pve/nodes/%s/qemu-server/%d.conf.tmp.%d' - Permission denied", v.node, v.id, pid)
}
