package pvesim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"
)

// Timings are the durations of operations on a real cluster. They are divided by the
// time scale. Each task's duration gets a few percent of seeded jitter. Fields that a
// world leaves out have the values of DefaultTimings.
type Timings struct {
	RefusedLogin Duration `json:"refusedLogin"` // before each 401
	VMLock       Duration `json:"vmLock"`       // timeout for a VM's lock ("got timeout")
	StorageLock  Duration `json:"storageLock"`  // timeout for a storage's lock
	CloneLock    Duration `json:"cloneLock"`    // timeout of a clone for the locks of source and target

	CloneLinked Duration `json:"cloneLinked"`
	CloneCheck  Duration `json:"cloneCheck"` // between a clone's first check and its start
	// A full clone takes CloneFullGiB for each GiB, at least CloneFullMin.
	CloneFullMin Duration `json:"cloneFullMin"`
	CloneFullGiB Duration `json:"cloneFullGiB"`

	Create  Duration `json:"create"`
	Config  Duration `json:"config"` // a qmconfig task
	Resize  Duration `json:"resize"`
	Destroy Duration `json:"destroy"`
	Upload  Duration `json:"upload"`
	Delete  Duration `json:"delete"` // deletion of a volume

	// A start takes Start. With passthrough it takes StartPinGiB more for each GiB of
	// memory, because the kernel pins all memory before the guest runs.
	Start       Duration `json:"start"`
	StartPinGiB Duration `json:"startPinGiB"`
	// The agent answers AgentMin to AgentMax after the start has ended.
	AgentMin Duration `json:"agentMin"`
	AgentMax Duration `json:"agentMax"`
	// cloud-init of a simulated guest is finished CloudInit after the agent answers;
	// gpuworker-guest then takes Bootstrap, and a tenth of it when all is done already.
	CloudInit Duration `json:"cloudInit"`
	Bootstrap Duration `json:"bootstrap"`
	Shutdown  Duration `json:"shutdown"` // of a guest that reacts to ACPI
	Stop      Duration `json:"stop"`
	// PowerdownTimeout is the default timeout of a shutdown.
	PowerdownTimeout Duration `json:"powerdownTimeout"`
	HostBoot         Duration `json:"hostBoot"` // reboot of a host
	HA               Duration `json:"ha"`       // reaction time of the HA manager
}

// DefaultTimings are typical of a small cluster with fast local disks.
func DefaultTimings() Timings {
	s := Duration(time.Second)
	ms := Duration(time.Millisecond)
	return Timings{
		RefusedLogin: 3 * s, VMLock: 10 * s, StorageLock: 10 * s, CloneLock: s,
		CloneLinked: 2 * s, CloneCheck: 20 * ms, CloneFullMin: 5 * s, CloneFullGiB: s,
		Create: s, Config: 200 * ms, Resize: 500 * ms, Destroy: s, Upload: 300 * ms, Delete: 300 * ms,
		Start: 2 * s, StartPinGiB: 75 * ms, AgentMin: 15 * s, AgentMax: 25 * s, CloudInit: 20 * s, Bootstrap: 90 * s,
		Shutdown: 8 * s, Stop: s, PowerdownTimeout: 60 * s, HostBoot: 180 * s, HA: 10 * s,
	}
}

// UnmarshalJSON keeps the defaults of fields that are not given and refuses
// unknown ones.
func (t *Timings) UnmarshalJSON(data []byte) error {
	type plain Timings
	p := plain(DefaultTimings())
	if err := strictJSON(data, &p); err != nil {
		return err
	}
	*t = Timings(p)
	return nil
}

func (t Timings) validate() error {
	if t.AgentMax < t.AgentMin {
		return errors.New("agentMax is less than agentMin")
	}
	return nil
}

func strictJSON(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// jitter varies a duration by up to five percent in both directions.
func jitter(r *rand.Rand, d Duration) Duration {
	return Duration(float64(d) * (0.95 + 0.1*r.Float64()))
}

// between returns a random duration between low and high.
func between(r *rand.Rand, low, high Duration) Duration {
	return low + Duration(float64(high-low)*r.Float64())
}

// scaled returns the real time of a simulated duration.
func (s *Sim) scaled(d Duration) time.Duration { return time.Duration(float64(d) / s.timeScale) }

// sleep waits for a simulated duration. It returns an error if ctx or the simulator ends
// before. No lock may be held.
func (s *Sim) sleep(ctx context.Context, d Duration) error {
	scaled := s.scaled(d)
	if scaled <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(scaled)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ctx.Done():
		return errClosed
	}
}
