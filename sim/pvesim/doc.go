// Package pvesim simulates a Proxmox VE cluster: the HTTP API with its error texts,
// tasks, locks, permissions, digests, PCI mappings and checks at the start of VMs. The
// initial state of the cluster is described in a document, the world. It is to Proxmox
// VE what vcsim is to vSphere. It imports no client, so that the same misunderstanding
// of the real API cannot be in both.
//
//	world, err := pvesim.LoadWorld(data)
//	sim, err := pvesim.New(world)
//	defer sim.Close()
//	server := httptest.NewTLSServer(sim)              // real connections, or
//	client := &http.Client{Transport: sim.Transport()} // none at all
//
// The simulated calls are listed in table.go; all others answer 501 and are logged.
// Unknown parameters are answered with 400, as by the real server. Parameters that the
// real call has but the simulator does not support are answered with 501 and a text
// that begins with "simulator:". No unsupported request gets an empty success.
//
// # Time
//
// Operations that take time on a real cluster take time here too (see Timings),
// divided by WithTimeScale. Clocks are not scaled: times in answers are those of the
// time package. So in a testing/synctest bubble no test really waits, and everything
// is repeatable. In that case, call New inside the bubble.
//
// # Repeatability
//
// The same seed and the same order of requests give the same UUIDs, MAC addresses and
// task durations. Those of a VM depend on its id and on how often that id was used, not
// on other requests.
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
//	html                 carried out, but the answer is a web page
//	half-json            carried out, but the answer is truncated
//	task-fails           the task that the request starts fails half-way and cleans up
//	task-fails-but-done  the task completes its work and then fails: a VM is running
//	                     although its start ended in an error
//	lock-held            "can't lock file … - got timeout" after the lock's timeout
//	storage-lock         a clone fails on the storage's lock, nothing is left behind
//	upload-lost          the file of an upload is not where its task looks for it
//	partial-config       only the first options of a change are written
//	quorum-lost          the cluster loses its quorum before the request is
//	                     carried out, see Sim.SetQuorum
//	quorum-back          the cluster regains its quorum
//	nothing              only the delay
//
// A world may have faults from the start; Inject adds them later.
//
// # Errors without faults
//
// Many errors of a real server occur without a fault, because of the world or the
// requests. For each known text of the real server a test shows how it is caused, see
// textsOfTheRealServer:
//
//   - Storage.Allocate is the time that creating a volume takes under the storage's
//     lock. With some seconds, parallel clones time out. Clones also hold the lock files
//     of source and target.
//   - Storage.CapacityGiB is a limit, if given: LVM-thin then refuses new disks, and
//     directories fail while a disk is copied or a file uploaded.
//   - PCIFunction.Broken and Host.NoVFIO are hardware and kernels that cannot pass a
//     device through; SetPCI and RebootHost renumber devices.
//   - Guest.Faults and Guest.Forbid are guests that misbehave; SetStorageOnline takes a
//     storage from a host.
//   - Guest.Slow is a slow agent; from three seconds on it counts as hanging. SetGuest
//     changes a running guest. World.Workers is the number of concurrent requests of the
//     privileged daemon of a host: hanging agents then block all other requests, and
//     pveproxy answers 596 after half a minute.
//   - SetQuorum takes the quorum from a cluster. SetHostOnline does not, even if many
//     hosts are offline.
//   - World.ListLag and SetListLag delay GET /cluster/resources as on a real cluster.
//   - VM.HA is a VM that the HA manager starts and stops.
//
// # Versions
//
// The rules are those of the recorded Proxmox VE 9.2, with the known differences of
// other versions: worlds of version 8 have the privilege VM.Monitor in place of
// VM.GuestAgent.*; driver= of hostpci exists since 9.1; World.HTTPServer, or else the
// version, decides whether errors have a message in their JSON and whether the maximum
// size of forms is 64 or 512 KiB.
//
// # Connections
//
// On any HTTP/1.1 server, the simulator behaves like pveproxy: it sends reason phrases,
// closes the connection after errors, uploads and a hundred requests, and does not
// answer requests with more than 64 header lines or 8 KiB of headers. After all other
// answers the connection stays open, also after those of the privileged daemon, which
// have "Connection: close" besides "Keep-Alive". Bodies are read only after the login is
// checked, and only up to the limit of forms. Uploaded files are measured and not
// stored. Sim.Server returns a server that also closes idle connections after five
// seconds.
//
// # Guests
//
// A guest has files, which stay on its disk, a few programs, and an agent with the
// commands, texts and limits of qemu-ga. A Linux guest reads a NoCloud seed from an ISO
// image that was uploaded, writes its files, installs the agent if user-data names it, and
// runs gpuworker-guest in symbols: no program is really run. Its status, with driver and
// GPUs, is what the real program would have written by then. WithGuest answers all
// programs by a function of the test instead.
//
// A VM's agent calls can also be passed on to a real guest agent, see SetAgentSocket.
// Commands that would switch its machine off are not.
//
// # Limits
//
// Not simulated, and answered with 501: live migration and migration to other storages,
// suspending to disk, snapshots with memory, backup and restore, import of disks from
// files, replication, containers, HA groups and rules, realms and second factors, and
// the configuration of storages and networks by the API. Devices cannot be shared:
// starts with mdev= fail. There is no fencing: an offline host keeps its VMs, and the HA
// manager does not retry. Disks have no content: snapshots keep only the configuration,
// a disk uses a tenth of its size, and files for cicustom have a length and no text. An
// offline host is seen as offline at once, not after 5 to 10 seconds.
package pvesim
