package pvesim

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// What happens to hosts besides the API: for tests, and for those who play an
// operator at a console.

func (s *Sim) hostNamed(name string) (*host, error) {
	if h := s.hosts[name]; h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("no host %q in this world; there are %v", name, s.hostList)
}

// SetHostOnline connects a host to the others or cuts it off. What runs on a
// host that is cut off goes on, its tasks included; requests for it get 595.
func (s *Sim) SetHostOnline(name string, online bool) error {
	s.lock()
	defer s.unlock()
	h, err := s.hostNamed(name)
	if err != nil {
		return err
	}
	h.Offline = !online
	s.changed(HostChanged, name, 0, "")
	return nil
}

// RebootHost, SetPCI and SetGuest are what befalls a cluster from outside the API:
// tests of host maintenance, of renumbered cards and of guests will use them.

// RebootHost pulls the plug and lets the host boot: its VMs stop, its tasks
// die where they are and clean nothing up, reservations vanish, devices go back
// to their boot drivers. After Timings.HostBoot it is online again and starts
// the VMs that have onboot.
func (s *Sim) RebootHost(name string) error {
	s.lock()
	defer s.unlock()
	h, err := s.hostNamed(name)
	if err != nil {
		return err
	}
	h.Offline = true
	for _, t := range s.tasks {
		if t.node == name && t.exit == "" {
			t.cancel(errHostDown)
		}
	}
	for _, v := range s.vms {
		if v.node == name {
			v.run, v.starting = nil, false
		}
	}
	h.resetDevices()
	h.boots++
	s.changed(HostChanged, name, 0, "")
	boot := h.boots
	s.spawn(func() { s.bootHost(h, boot) })
	return nil
}

// bootHost ends a boot, unless the host was rebooted again meanwhile.
func (s *Sim) bootHost(h *host, boot int) {
	if s.sleep(context.Background(), s.timings.HostBoot) != nil {
		return
	}
	s.lock()
	defer s.unlock()
	if h.boots != boot {
		return
	}
	h.Offline = false
	h.booted = time.Now()
	s.changed(HostChanged, h.Name, 0, "")
	for _, id := range s.vmIDs() {
		v := s.vms[id]
		if v == nil || v.node != h.Name || h.boots != boot || !s.quorate() {
			continue
		}
		s.applyAll(v)
		if v.conf["onboot"] != "1" || v.template() {
			continue
		}
		// One after another, by id.
		r := &request{ctx: s.ctx, caller: identity{user: "root@pam"}, args: args{"node": {values: []string{h.Name}}}}
		t := s.byUPID[s.queueStart(r, id, 0)]
		s.unlock()
		select {
		case <-t.done:
		case <-s.ctx.Done():
		}
		s.lock()
	}
}

// SetPCI replaces the functions that a host has, as a firmware update or other
// hands may: cards gone, renumbered, in other groups. Functions that were there
// before keep the driver that has them now.
func (s *Sim) SetPCI(name string, functions []PCIFunction) error {
	var p problems
	checkPCI(&p, Host{Name: name, PCI: functions})
	if len(p) > 0 {
		return p[0]
	}
	s.lock()
	defer s.unlock()
	h, err := s.hostNamed(name)
	if err != nil {
		return err
	}
	drivers := h.drivers
	h.PCI = slices.Clone(functions)
	slices.SortFunc(h.PCI, func(a, b PCIFunction) int { return compareBDF(a.Address, b.Address) })
	h.drivers = map[string]string{}
	for _, f := range h.PCI {
		h.drivers[f.Address] = f.Driver
		if driver, had := drivers[f.Address]; had {
			h.drivers[f.Address] = driver
		}
	}
	s.changed(HostChanged, name, 0, "")
	return nil
}

// PCI is a copy of a host's functions, to change and give to SetPCI.
func (s *Sim) PCI(name string) ([]PCIFunction, error) {
	s.lock()
	defer s.unlock()
	h, err := s.hostNamed(name)
	if err != nil {
		return nil, err
	}
	return slices.Clone(h.PCI), nil
}

// SetGuest changes what is in a VM: an agent that is removed, that hangs, or
// that somebody installs. A running guest has it at once.
func (s *Sim) SetGuest(id int, guest Guest) error {
	s.lock()
	defer s.unlock()
	v := s.vms[id]
	if v == nil {
		return fmt.Errorf("no VM %d in this world", id)
	}
	v.guest = guest
	if v.run != nil {
		v.run.agentUp, v.run.osUp = time.Time{}, time.Time{}
		if guest.OS != "" {
			v.run.osUp = time.Now()
		}
		if guest.Agent {
			v.run.agentUp = time.Now()
		}
	}
	s.changed(GuestChanged, v.node, id, "")
	return nil
}

// UnlockVM is "qm unlock" on the VM's host: it removes the lock from the
// configuration. The API has no such call.
func (s *Sim) UnlockVM(id int) error {
	s.lock()
	defer s.unlock()
	v := s.vms[id]
	if v == nil {
		return fmt.Errorf("no VM %d in this world", id)
	}
	if err := s.writable(v, workerPID); err != nil {
		return err
	}
	delete(v.conf, "lock")
	s.changed(VMConfigured, v.node, id, "")
	return nil
}
