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
//	upload-lost          the file of an upload is not where its task looks for it
//	partial-config       only the first options of a change are written
//	quorum-lost          the cluster loses its quorum before the request is
//	                     carried out, see Sim.SetQuorum
//	quorum-back          it gets it back
//	nothing              only the delay
//
// A world may have faults from the start; Inject adds them later.
//
// # What need not be injected
//
// Much goes wrong by itself when the world or the clients are so. Each text
// that the real server is known for has a test that shows how it comes about,
// see textsOfTheRealServer:
//
//   - Storage.Allocate is how long making a volume takes under the storage's
//     lock: with some seconds, parallel clones time out. Clones hold the lock
//     files of source and target, too.
//   - Storage.CapacityGiB, when given, is a limit: LVM-thin then refuses new
//     disks, directories fail while a disk is copied or a file uploaded.
//   - PCIFunction.Broken and Host.NoVFIO are hardware and kernels that do not
//     give a device away; SetPCI and RebootHost renumber it.
//   - Guest.Slow is an agent that is slow, or wedged from three seconds on;
//     SetGuest changes a guest while it runs. World.Workers is how many requests
//     the privileged daemon of a host works on at once: agents that hang then
//     starve everybody else, and pveproxy answers 596 after half a minute.
//   - SetQuorum takes the quorum from a cluster; SetHostOnline does not, however
//     many hosts are away.
//   - World.ListLag and SetListLag make GET /cluster/resources as late as it is on
//     a real cluster.
//   - VM.HA is a VM that the HA manager starts and stops by itself.
//
// # Versions
//
// Rules are those of Proxmox VE 9.2 as recorded, but for what is known to
// differ: worlds of version 8 have the privilege VM.Monitor in place of
// VM.GuestAgent.*; driver= of hostpci is known since 9.1; World.HTTPServer, or
// else the version, decides whether errors have a message in their JSON and
// whether forms may have 64 or 512 KiB.
//
// # Connections
//
// The simulator answers as pveproxy does on any HTTP/1.1 server: reason phrases,
// closing after errors, uploads and a hundred requests, no answer at all to
// headers beyond 64 lines or 8 KiB. After all other answers the connection stays
// open, also after those that carry "Connection: close" beside "Keep-Alive",
// which are those of the privileged daemon. Bodies are read once it is known who
// asks, and only up to the limit of forms; files that are uploaded are measured
// and not kept. Server makes one that also closes idle connections after five
// seconds.
//
// # Limits
//
// Not simulated, and 501 where a call asks for it: live migration and migration
// to other storages, suspending to disk, snapshots with memory, backup and
// restore, import of disks from files, replication, containers, HA groups and
// rules, realms and second factors, and the configuration of storages and
// networks by the API. No device can be shared: starts with mdev= fail. Nor is
// fencing simulated: a host that is away keeps its VMs, and the HA manager does
// not try again what
// failed. Disks have no content, so that snapshots keep the configuration only,
// what a disk takes is a tenth of its size, and the files that cicustom names
// have a length and no text. A guest is a boot delay, an agent and files that
// were written. What a VM that runs with a device writes to the host's disks,
// or the 5 to 10 seconds for which a host that went away still looks alive, is
// not there.
package pvesim
