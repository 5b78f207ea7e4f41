package pvesim

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Effect is what a fault does to a request.
type Effect string

// The effects of faults.
const (
	// Status answers with the fault's status and reason instead.
	Status Effect = "status"
	// DropBefore closes the connection; nothing is done.
	DropBefore Effect = "drop-before"
	// DropAfter closes the connection after the request was carried out.
	DropAfter Effect = "drop-after"
	// Hang never answers, until the client gives up; nothing is done.
	Hang Effect = "hang"
	// HTML carries the request out and answers with a web page.
	HTML Effect = "html"
	// HalfJSON carries the request out and breaks off in the answer.
	HalfJSON Effect = "half-json"
	// TaskFails lets the task that the request starts fail with the text in
	// the middle of its work; it cleans up as after any other failure.
	TaskFails Effect = "task-fails"
	// TaskFailsButDone lets the task do its work and then fail: a start that
	// ends in an error while the VM runs.
	TaskFailsButDone Effect = "task-fails-but-done"
	// LockHeld refuses with the time-out of the VM's lock file.
	LockHeld Effect = "lock-held"
	// StorageLockTimeout lets a clone fail on the storage's lock.
	StorageLockTimeout Effect = "storage-lock"
	// UploadLost lets an upload fail as it does when it was sent to one host for
	// another, and the file is not where the task looks for it: for tests of the
	// upload of a seed.
	UploadLost Effect = "upload-lost"
	// PartialConfig writes only the first options of a change and then fails.
	PartialConfig Effect = "partial-config"
	// QuorumLost takes the quorum from the cluster, see Sim.SetQuorum, before the
	// request is carried out; QuorumBack gives it back.
	QuorumLost Effect = "quorum-lost"
	QuorumBack Effect = "quorum-back"
	// Nothing only delays.
	Nothing Effect = "nothing"
)

var effects = []Effect{Status, DropBefore, DropAfter, Hang, HTML, HalfJSON, TaskFails, TaskFailsButDone, LockHeld,
	StorageLockTimeout, UploadLost, PartialConfig, QuorumLost, QuorumBack, Nothing}

// Fault is something that goes wrong: for which requests, and how.
type Fault struct {
	Name string `json:"name,omitempty"`
	// Method and Path (a regular expression on the path below /api2/json)
	// select requests; empty means all. VMID selects by the vmid parameter, or
	// newid of a clone.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	VMID   int    `json:"vmid,omitempty"`
	// Nth is the first matching request that it happens to, from 1; Times is
	// how often, 0 for once, -1 for ever.
	Nth   int `json:"nth,omitempty"`
	Times int `json:"times,omitempty"`
	// Delay comes before the effect.
	Delay  Duration `json:"delay,omitempty"`
	Effect Effect   `json:"effect"`
	// Code and Text are the status and reason of "status", Text also the error
	// of tasks and changes.
	Code int    `json:"code,omitempty"`
	Text string `json:"text,omitempty"`
	// Options is how many options "partial-config" writes, at least 1.
	Options int `json:"options,omitempty"`
}

func (f Fault) text(otherwise string) string {
	if f.Text != "" {
		return f.Text
	}
	return otherwise
}

func (f Fault) validate() error {
	if !slices.Contains(effects, f.Effect) {
		return fmt.Errorf("effect %q: there are %v", f.Effect, effects)
	}
	if _, err := regexp.Compile(f.Path); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	if f.Effect == Status && (f.Code < 400 || f.Code > 599) {
		return fmt.Errorf("code %d: want 400 to 599", f.Code)
	}
	if f.Nth < 0 || f.Times < -1 {
		return errors.New("nth must not be negative, times not below -1")
	}
	return nil
}

// fault is a fault with what it has seen.
type fault struct {
	Fault
	path *regexp.Regexp
	seen int
	done int
}

func newFault(f Fault) *fault {
	return &fault{Fault: f, path: regexp.MustCompile(f.Path)}
}

// Inject adds a fault to the running simulator.
func (s *Sim) Inject(f Fault) error {
	if err := f.validate(); err != nil {
		return fmt.Errorf("fault %q: %w", f.Name, err)
	}
	s.lock()
	defer s.unlock()
	if f.Effect == QuorumLost && s.clusters == "" {
		return fmt.Errorf("fault %q: %w", f.Name, errNoCluster)
	}
	s.faults = append(s.faults, newFault(f))
	return nil
}

// ClearFaults forgets all faults.
func (s *Sim) ClearFaults() {
	s.lock()
	defer s.unlock()
	s.faults = nil
}

// errDropped closes the connection without an answer.
var errDropped = errors.New("connection dropped")

// match reports whether a fault happens to a request, and counts it.
func (f *fault) match(r *request) bool {
	id := r.args.number("newid", r.vmid())
	if f.Method != "" && f.Method != r.method || !f.path.MatchString(r.path) || f.VMID != 0 && f.VMID != id {
		return false
	}
	f.seen++
	limit := max(1, f.Times)
	if f.seen < f.Nth || f.Times >= 0 && f.done >= limit {
		return false
	}
	f.done++
	return true
}

// meetFault finds the fault of a request, waits its delay and does what comes
// before the request is carried out. The rest is for spoil, tasks and changes.
func (s *Sim) meetFault(r *request) error {
	s.lock()
	for _, f := range s.faults {
		if f.match(r) {
			r.fault = f
			break
		}
	}
	s.unlock()
	if r.fault == nil {
		return nil
	}
	if err := s.sleep(r.ctx, r.fault.Delay); err != nil {
		return errDropped
	}
	switch r.fault.Effect {
	case DropBefore:
		return errDropped
	case Hang:
		select {
		case <-r.gone:
		case <-s.ctx.Done():
		}
		return errDropped
	case Status:
		return &apiError{status: r.fault.Code, reason: r.fault.text("simulated failure"), bare: r.fault.Code > 590}
	case QuorumLost, QuorumBack:
		s.lock()
		defer s.unlock()
		return s.setQuorum(r.fault.Effect == QuorumBack)
	case LockHeld:
		if err := s.sleep(r.ctx, s.timings.VMLock); err != nil {
			return errDropped
		}
		return vmLock(r.node(), r.args.number("newid", r.vmid())).timeout()
	default:
		// The others come later: in the task, the change or the answer.
		return nil
	}
}

// spoil does what a fault does to the answer of a request that was carried
// out.
func (s *Sim) spoil(r *request, a *answer) *answer {
	if r.fault == nil {
		return a
	}
	switch r.fault.Effect {
	case DropAfter:
		return &answer{drop: true}
	case HTML:
		page := plainAnswer(200, "OK", false)
		page.header.Set("Content-Type", "text/html; charset=utf-8")
		page.body = []byte("<!DOCTYPE html>\n<html><head><title>Proxy login</title></head><body>Please log in.</body></html>\n")
		return page
	case HalfJSON:
		a.body, a.cut = a.body[:len(a.body)/2], true
	default:
	}
	return a
}

// RequestRecord is one request that the simulator got and whose credentials
// were good.
type RequestRecord struct {
	Time         time.Time
	Method, Path string
}

// record remembers a request for Requests.
func (s *Sim) record(r *request) {
	s.lock()
	defer s.unlock()
	s.requests = append(s.requests, RequestRecord{Time: time.Now(), Method: r.method, Path: r.path})
	if len(s.requests) > maxRequests {
		s.requests = slices.Clone(s.requests[len(s.requests)-maxRequests/2:])
	}
}

// maxRequests bounds what a long-running simulator remembers.
const maxRequests = 20000

// Requests are the latest requests, oldest first.
func (s *Sim) Requests() []RequestRecord {
	s.lock()
	defer s.unlock()
	return slices.Clone(s.requests)
}
