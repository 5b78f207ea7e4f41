// Package pvesim is a simulated Proxmox VE cluster: the HTTP API with its
// error texts, tasks, locks, permissions, digests, PCI mappings and start-time
// checks, over a world that is described in a document. It is to Proxmox VE
// what vcsim is to vSphere. It imports no client, so that one misreading of
// the real API cannot hide in both.
//
//	world, err := pvesim.LoadWorld(data)
//	sim, err := pvesim.New(world)
//	defer sim.Close()
//	server := httptest.NewTLSServer(sim)              // real connections, or
//	client := &http.Client{Transport: sim.Transport()} // none at all
//
// What is simulated is in table.go; everything else answers 501 and is logged.
// Parameters that a call does not have are 400, as with the real server;
// parameters that it has but that are not simulated are 501 with a text that
// begins with "simulator:". Nothing is answered with an empty success.
//
// # Time
//
// Whatever takes time on a real cluster takes time here (see Timings), divided
// by WithTimeScale. Clocks are not scaled: times in answers are those of the
// time package, so in a testing/synctest bubble nothing really waits and
// everything is repeatable. In a bubble, call New inside it.
//
// # Repeatability
//
// The same seed and the same order of requests give the same UUIDs, MAC
// addresses and task durations. What a VM gets depends on its id and on how
// often that id was used, not on other traffic.
//
// # Faults
//
// A Fault selects requests by method, path (a regular expression), VMID and
// count, and has one of these effects, after an optional delay:
//
//	status               an HTTP status and reason; codes above 590 as a proxy sends them
//	drop-before          the connection closes, nothing was done
//	drop-after           the connection closes, the request was carried out
//	hang                 no answer until the client gives up, nothing is done
//	html                 carried out, but a web page comes back
//	half-json            carried out, but the answer breaks off
//	task-fails           the task that the request starts fails half-way and cleans up
//	task-fails-but-done  the task does its work and then fails: a VM that runs
//	                     although its start ended in an error
//	lock-held            "can't lock file … - got timeout" after the lock's wait
//	storage-lock         a clone fails on the storage's lock, nothing is left
//	partial-config       only the first options of a change are written
//	nothing              only the delay
//
// A world may have faults from the start; Inject adds them later.
//
// # Limits
//
// One version of each rule is simulated: that of Proxmox VE 9.2 as recorded,
// with the privileges of 8 for worlds of version 8. There is no migration, no
// HA, no container, no backup and no restore. Disks have no content; a storage
// never fills up, and snapshots keep the configuration only. A guest is a boot
// delay, an agent and files that were written. The real server's
// delays and locks are kept; its limits on headers, requests per connection
// and workers are not.
package pvesim
