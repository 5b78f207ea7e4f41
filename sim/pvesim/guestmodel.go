package pvesim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// GuestFault is a misbehaviour of a simulated guest.
type GuestFault string

// The misbehaviours. They are set in the world or with SetGuest, also while a guest runs.
const (
	// GuestNoAgent: the agent never comes, although it is installed.
	GuestNoAgent GuestFault = "no-agent"
	// GuestCloudInitFails: a module of cloud-init fails, so no file is written.
	GuestCloudInitFails GuestFault = "cloud-init-fails"
	// GuestNoDriver: the driver's modules do not load.
	GuestNoDriver GuestFault = "no-driver"
	// GuestWrongGPU: the GPU has another UUID than the card had before.
	GuestWrongGPU GuestFault = "wrong-gpu"
	// GuestReboot: the guest reboots once, in the middle of the bootstrap.
	GuestReboot GuestFault = "reboot"
	// GuestHangs: the bootstrap never ends.
	GuestHangs GuestFault = "hangs"
	// GuestHostile: texts that try to harm whoever prints them.
	GuestHostile GuestFault = "hostile-texts"
	// GuestBadStatus: the status of the bootstrap is not what a reader expects.
	GuestBadStatus GuestFault = "bad-status"
)

var guestFaults = []GuestFault{GuestNoAgent, GuestCloudInitFails, GuestNoDriver, GuestWrongGPU, GuestReboot, GuestHangs,
	GuestHostile, GuestBadStatus}

func (g Guest) fails(how GuestFault) bool { return slices.Contains(g.Faults, how) }

// hostileText has escape sequences, a line break, an order of writing and much length.
var hostileText = "\x1b]0;owned\x07\x1b[2J\r\nError: all is well\u202e" + strings.Repeat("A", 5000)

// guestBoot is what a simulated guest forgets at a reboot.
type guestBoot struct {
	id        string    // boot_id
	cloudEnds time.Time // cloud-init is finished
	seeded    bool      // cloud-init has run
	// began is when the bootstrap began; zero before.
	began time.Time
	// takes is its duration.
	takes time.Duration
}

// bootModel begins a boot of a simulated guest.
func (s *Sim) bootModel(v *vm, now time.Time, agent Duration) {
	v.run.boot = guestBoot{id: newUUID(s.streams.next("boot of %d", v.id)), cloudEnds: now.Add(s.scaled(agent + s.timings.CloudInit))}
	if v.guest.fails(GuestNoAgent) {
		v.run.agentUp = time.Time{}
	}
	v.writeFile(guestBootID, v.run.boot.id+"\n")
}

// refreshGuest carries out what a simulated guest has done since the last look.
func (s *Sim) refreshGuest(v *vm) {
	if v.run == nil || v.starting || v.run.paused || !v.hasCloudInit() || v.run.boot.id == "" {
		return
	}
	now, boot := time.Now(), &v.run.boot
	if !boot.seeded && !now.Before(boot.cloudEnds) {
		boot.seeded = true
		s.runCloudInit(v)
		if len(v.disk.errors) == 0 {
			s.beginBootstrap(v, boot.cloudEnds)
		}
	}
	if boot.began.IsZero() {
		return
	}
	if middle := boot.began.Add(boot.takes / 2); v.guest.fails(GuestReboot) && v.disk.reboots == 0 && !now.Before(middle) {
		v.disk.reboots++
		s.bootGuest(v, s.streams.next("guest reboot %d", v.id), middle)
		s.changed(GuestChanged, v.node, v.id, "")
		return
	}
	status := v.bootstrapStatus(s, now)
	if status.Ready {
		v.disk.done = v.ordersKey()
	}
	text, _ := json.MarshalIndent(status, "", "  ") // it has only texts, numbers and times
	if v.guest.fails(GuestBadStatus) {
		text = []byte(`{"version": 1, "steps": [` + strings.Repeat(`{"name":"x"},`, 20_000) + `{}], "ready": tru`)
	}
	v.writeFile(guestStatus, string(text)+"\n")
}

// beginBootstrap starts the program's service. Without orders for this VM it ends at once,
// without a status.
func (s *Sim) beginBootstrap(v *vm, at time.Time) GuestResult {
	if _, installed := v.files[guestProgram]; !installed {
		return GuestResult{Missing: true}
	}
	if _, there := v.files[guestOrders]; !there {
		return GuestResult{ExitCode: exitMissing, Err: "gpuworker-guest: read the orders in " + guestOrders +
			": there are none\n  → run gpuworker apply on the desk: it puts them into the guest\n"}
	}
	if _, ok := v.orders(); !ok {
		return GuestResult{ExitCode: exitCheck, Err: "gpuworker-guest: read the orders in " + guestOrders +
			": they are not for this VM\n  → run gpuworker apply on the desk: it puts the right ones into the guest\n"}
	}
	takes := s.timings.Bootstrap
	if v.disk.done == v.ordersKey() {
		takes /= 10
	}
	v.run.boot.began, v.run.boot.takes = at, s.scaled(takes)
	return GuestResult{}
}

func (v *vm) ordersKey() string { return sha1Hex(v.files[guestOrders]) }

// The forms of the orders and of the status, as far as the simulated guest needs them.
// They are written down here once more, so that a change of the real ones shows.
type modelOrders struct {
	UUID   string `json:"uuid"`
	Driver struct {
		Strategy string `json:"strategy"`
		Branch   string `json:"branch"`
		Version  string `json:"version"`
		Open     bool   `json:"open"`
		Toolkit  bool   `json:"toolkit"`
	} `json:"driver"`
	GPU *struct {
		ID   string `json:"id"`
		UUID string `json:"uuid"`
	} `json:"gpu"`
}

type modelStatus struct {
	Version  int            `json:"version"`
	Program  string         `json:"program"`
	UUID     string         `json:"uuid"`
	BootID   string         `json:"bootID"`
	OS       string         `json:"os"`
	Kernel   string         `json:"kernel"`
	Steps    []modelStep    `json:"steps"`
	Findings []modelFinding `json:"findings"`
	Driver   *modelDriver   `json:"driver,omitempty"`
	GPUs     []modelGPU     `json:"gpus"`
	Ready    bool           `json:"ready"`
	Updated  time.Time      `json:"updated"`
}

type modelStep struct {
	Name    string    `json:"name"`
	Key     string    `json:"key"`
	State   string    `json:"state"`
	Tries   int       `json:"tries,omitempty"`
	Began   time.Time `json:"began,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	Problem string    `json:"problem,omitempty"`
	Fix     string    `json:"fix,omitempty"`
}

type modelFinding struct {
	ID      string            `json:"id"`
	Verdict string            `json:"verdict"`
	Layer   string            `json:"layer"`
	Where   map[string]string `json:"where"`
	Reason  string            `json:"reason"`
	Fix     string            `json:"fix,omitempty"`
}

type modelDriver struct {
	Version string `json:"version"`
	Open    bool   `json:"open"`
}

type modelGPU struct {
	BDF   string `json:"bdf"`
	ID    string `json:"id"`
	Model string `json:"model,omitempty"`
	UUID  string `json:"uuid,omitempty"`
}

// GPUUUID is the UUID of a GPU of a host, as a simulated guest with a driver sees it. It
// stays the same as long as the card stays: another model, or another serial number, is
// another card.
func GPUUUID(host string, f PCIFunction) string {
	card := host + "/" + f.Address + "/" + f.ID
	if f.Serial != "" {
		card = f.ID + "/" + f.Serial
	}
	sum := sha256.Sum256([]byte(card))
	text := hex.EncodeToString(sum[:16])
	return fmt.Sprintf("GPU-%s-%s-%s-%s-%s", text[:8], text[8:12], text[12:16], text[16:20], text[20:])
}

// gpus are the GPUs that the VM has; with a driver they have UUIDs.
func (v *vm) gpus(h *host, driver bool) []modelGPU {
	out := []modelGPU{}
	for i, address := range v.run.devices {
		f := h.function(address)
		if f == nil || !strings.HasPrefix(f.ID, "10de:") || !strings.HasPrefix(f.Class, "0x0300") && !strings.HasPrefix(f.Class, "0x0302") {
			continue
		}
		gpu := modelGPU{BDF: fmt.Sprintf("0000:%02x:00.0", i+1), ID: f.ID, Model: f.Name}
		if driver {
			card := *f
			if v.guest.fails(GuestWrongGPU) {
				card.Serial += "another card"
			}
			gpu.UUID = GPUUUID(h.Name, card)
		}
		out = append(out, gpu)
	}
	return out
}
