package pvesim

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Effect is the effect of a fault on a request.
type Effect string

// The effects of faults.
const (
	// Status answers with the fault's status and reason; nothing is done.
	Status Effect = "status"
	// DropBefore closes the connection; nothing is done.
	DropBefore Effect = "drop-before"
	// DropAfter closes the connection after the request was carried out.
	DropAfter Effect = "drop-after"
	// Hang never answers, until the client gives up; nothing is done.
	Hang Effect = "hang"
	// HTML carries out the request and answers with a web page.
	HTML Effect = "html"
	// HalfJSON carries out the request and truncates the answer.
	HalfJSON Effect = "half-json"
	// TaskFails makes the task of the request fail with the text in the middle of its
	// work; the task cleans up as after any other failure.
	TaskFails Effect = "task-fails"
	// TaskFailsButDone makes the task complete its work and then fail, such as a start
	// that ends in an error although the VM is running.
	TaskFailsButDone Effect = "task-fails-but-done"
	// LockHeld refuses with the timeout of the VM's lock file.
	LockHeld Effect = "lock-held"
	// StorageLockTimeout makes a clone fail on the storage's lock.
	StorageLockTimeout Effect = "storage-lock"
	// UploadLost makes an upload fail as when it is sent to one host for another: the
	// file is not where the task looks for it. It is for tests of the upload of a seed.
	UploadLost Effect = "upload-lost"
	// PartialConfig writes only the first options of a change and then fails.
	PartialConfig Effect = "partial-config"
	// QuorumLost takes the quorum from the cluster before the request is carried out, see
	// Sim.SetQuorum; QuorumBack restores it.
	QuorumLost Effect = "quorum-lost"
	QuorumBack Effect = "quorum-back"
	// Nothing only delays.
	Nothing Effect = "nothing"
)

var effects = []Effect{Status, DropBefore, DropAfter, Hang, HTML, HalfJSON, TaskFails, TaskFailsButDone, LockHeld,
	StorageLockTimeout, UploadLost, PartialConfig, QuorumLost, QuorumBack, Nothing}

// Fault is a fault: the affected requests, and the effect.
type Fault struct {
	Name string `json:"name,omitempty"`
	// Method and Path (a regular expression on the path below /api2/json)
	// select requests; empty means all. VMID selects by the parameter vmid, or newid of
	// a clone.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	VMID   int    `json:"vmid,omitempty"`
	// Nth is the first affected one of the matching requests, from 1. Times is the
	// number of affected requests: 0 means one, -1 means all.
	Nth   int `json:"nth,omitempty"`
	Times int `json:"times,omitempty"`
	// Delay is the time before the effect.
	Delay  Duration `json:"delay,omitempty"`
	Effect Effect   `json:"effect"`
	// Code and Text are the status and reason for "status"; Text is also the error of
	// tasks and changes.
	Code int    `json:"code,omitempty"`
	Text string `json:"text,omitempty"`
	// Options is the number of options that "partial-config" writes, at least 1.
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
		return fmt.Errorf("effect %q: must be one of %v", f.Effect, effects)
	}
	if _, err := regexp.Compile(f.Path); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	if f.Effect == Status && (f.Code < 400 || f.Code > 599) {
		return fmt.Errorf("code %d: must be 400 to 599", f.Code)
	}
	if f.Nth < 0 || f.Times < -1 {
		return errors.New("nth must not be negative, and times must not be less than -1")
	}
	return nil
}

// fault is a fault with its counters.
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

// ClearFaults removes all faults.
func (s *Sim) ClearFaults() {
	s.lock()
	defer s.unlock()
	s.faults = nil
}

// errDropped closes the connection without an answer.
var errDropped = errors.New("connection dropped")

// match reports whether a fault affects a request, and counts the request.
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

// meetFault finds the fault for a request, waits for its delay, and applies an effect
// that comes before the request is carried out. Other effects are applied by spoil, by
// tasks and by changes.
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
		// Other effects are applied later: in the task, the change or the answer.
		return nil
	}
}

// spoil applies the effect of a fault to the answer of a request that was carried out.
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

// RequestRecord is one received request with valid credentials.
type RequestRecord struct {
	Time         time.Time
	Method, Path string
}

// record stores a request for Requests.
func (s *Sim) record(r *request) {
	s.lock()
	defer s.unlock()
	s.requests = append(s.requests, RequestRecord{Time: time.Now(), Method: r.method, Path: r.path})
	if len(s.requests) > maxRequests {
		s.requests = slices.Clone(s.requests[len(s.requests)-maxRequests/2:])
	}
}

// maxRequests is the maximum number of stored requests.
const maxRequests = 20000

// Requests returns the latest requests, oldest first.
func (s *Sim) Requests() []RequestRecord {
	s.lock()
	defer s.unlock()
	return slices.Clone(s.requests)
}
