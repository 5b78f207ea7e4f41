package pvesim

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Events of hosts outside the API, for tests and for the console of an operator.

func (s *Sim) hostNamed(name string) (*host, error) {
	if h := s.hosts[name]; h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("no host %q in this world; its hosts are %v", name, s.hostList)
}

// SetHostOnline connects a host to the others or disconnects it. VMs and tasks of a
// disconnected host continue to run; requests for it get 595.
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

// SetStorageOnline makes a storage of a host reachable or unreachable, as when its disk
// or its NFS server is lost. VMs that run with its volumes continue.
func (s *Sim) SetStorageOnline(name, host string, online bool) error {
	s.lock()
	defer s.unlock()
	st := s.storages[name]
	if st == nil || !slices.Contains(st.hosts, host) {
		return fmt.Errorf("no storage %q on a host %q in this world", name, host)
	}
	if st.Type == "lvmthin" {
		return fmt.Errorf("storage %q: an unreachable LVM thin pool is not simulated", name)
	}
	st.down[host] = !online
	return nil
}

// RebootHost, SetPCI and SetGuest change a cluster from outside the API. They are for
// tests of host maintenance, of renumbered cards and of guests.

// RebootHost simulates a power cycle: the VMs stop, the tasks end without cleaning up,
// reservations are lost, and devices return to their boot drivers. After
// Timings.HostBoot the host is online again and starts the VMs with onboot.
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

// bootHost completes a boot, unless the host was rebooted again meanwhile.
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

// SetPCI replaces the PCI functions of a host, as after a firmware update or a change of
// hardware: cards may be removed, renumbered, or in other groups. Functions that existed
// before keep their current driver.
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

// PCI returns a copy of a host's functions, for changing it and passing it to SetPCI.
func (s *Sim) PCI(name string) ([]PCIFunction, error) {
	s.lock()
	defer s.unlock()
	h, err := s.hostNamed(name)
	if err != nil {
		return nil, err
	}
	return slices.Clone(h.PCI), nil
}

// SetGuest changes the guest of a VM, for example to remove, hang or install the agent.
// It takes effect at once, also in a running guest.
func (s *Sim) SetGuest(id int, guest Guest) error {
	s.lock()
	defer s.unlock()
	v := s.vms[id]
	if v == nil {
		return fmt.Errorf("no VM %d in this world", id)
	}
	if err := guest.validate(); err != nil {
		return err
	}
	v.guest = guest
	if v.run != nil {
		v.run.agentUp, v.run.osUp = time.Time{}, time.Time{}
		if guest.OS != "" {
			v.run.osUp = time.Now()
		}
		if guest.Agent && !guest.fails(GuestNoAgent) {
			v.run.agentUp = time.Now()
		}
	}
	s.changed(GuestChanged, v.node, id, "")
	return nil
}

// SetGuestFaults changes the misbehaviours of a guest, also while it runs. The rest of it
// stays as it is: a guest that boots goes on booting.
func (s *Sim) SetGuestFaults(id int, faults ...GuestFault) error {
	s.lock()
	defer s.unlock()
	v := s.vms[id]
	if v == nil {
		return fmt.Errorf("no VM %d in this world", id)
	}
	guest := v.guest
	guest.Faults = slices.Clone(faults)
	if err := guest.validate(); err != nil {
		return err
	}
	if v.run != nil {
		s.refreshGuest(v) // what came before was without them
	}
	had, has := v.guest.fails(GuestNoAgent), guest.fails(GuestNoAgent)
	v.guest = guest
	switch {
	case v.run == nil || !guest.Agent:
	case has:
		v.run.agentUp = time.Time{}
	case had:
		v.run.agentUp = v.run.osUp
	}
	s.changed(GuestChanged, v.node, id, "")
	return nil
}

// UnlockVM is "qm unlock" on the VM's host: it removes the lock from the configuration.
// The API has no such call.
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
