package pve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// taskServer is a node with one task: it runs for a while, and then has an
// exit status and a log.
type taskServer struct {
	start  time.Time
	runs   time.Duration
	exit   string
	log    []string
	before func(n int, since time.Duration) (reply, bool) // answers instead, when it says so
	polls  []time.Duration
}

func (ts *taskServer) answer(_ int, s seen) reply {
	since := time.Since(ts.start)
	if strings.HasSuffix(s.path, "/log") {
		return ts.logAnswer(s)
	}
	ts.polls = append(ts.polls, since)
	if ts.before != nil {
		if r, ok := ts.before(len(ts.polls), since); ok {
			return r
		}
	}
	if since < ts.runs {
		return says(`{"status":"running","upid":"` + testUPID + `","type":"qmstart"}`)
	}
	return says(fmt.Sprintf(`{"status":"stopped","exitstatus":%q,"upid":%q}`, ts.exit, testUPID))
}

func (ts *taskServer) logAnswer(s seen) reply {
	var start, limit int
	for pair := range strings.SplitSeq(s.query, "&") {
		_, _ = fmt.Sscanf(pair, "start=%d", &start)
		_, _ = fmt.Sscanf(pair, "limit=%d", &limit)
	}
	var lines []string
	for i := start; i < min(start+limit, len(ts.log)); i++ {
		lines = append(lines, fmt.Sprintf(`{"n":%d,"t":%q}`, i+1, ts.log[i]))
	}
	return reply{status: 200, reason: "OK", body: fmt.Sprintf(`{"data":[%s],"total":%d}`, strings.Join(lines, ","), len(ts.log))}
}

// waitFor runs Wait in a synctest bubble and returns how long it took.
func waitFor(t *testing.T, ts *taskServer, limit time.Duration) (took time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ts.start = time.Now()
		c, _ := inProcess(t, ts.answer)
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		err = c.Task(mustUPID(testUPID)).Wait(ctx)
		took = time.Since(ts.start)
	})
	return took, err
}

func TestWaitReturnsSoonAfterTheTaskHasEnded(t *testing.T) {
	tests := []struct {
		runs     time.Duration
		maxPolls int
	}{
		{0, 1},
		{time.Second, 4},
		{20 * time.Second, 24},
		{34 * time.Minute, 440}, // a VM with 512 GiB and a GPU
	}
	for _, tt := range tests {
		t.Run(tt.runs.String(), func(t *testing.T) {
			ts := &taskServer{runs: tt.runs, exit: "OK", log: []string{"TASK OK"}}
			took, err := waitFor(t, ts, time.Hour)
			if err != nil {
				t.Error(err)
			}
			late := min(max(500*time.Millisecond, tt.runs/8), 5*time.Second)
			if took < tt.runs || took > max(firstPoll, tt.runs+late) || len(ts.polls) > tt.maxPolls {
				t.Errorf("took %v and %d polls", took, len(ts.polls))
			}
		})
	}
}

func TestWarningsAreSuccess(t *testing.T) {
	ts := &taskServer{exit: "WARNINGS: 2", log: []string{"WARN: no efidisk configured!", "TASK WARNINGS: 2"}}
	if _, err := waitFor(t, ts, time.Hour); err != nil {
		t.Error(err)
	}
}

func TestAFailedTaskCarriesItsLog(t *testing.T) {
	tests := []struct {
		name      string
		exit      string
		log       []string
		kind      Kind
		text      string
		ambiguous bool
	}{
		{
			"the text says it all", "PCI device '0000:3b:00.0' already in use by VMID '310'",
			[]string{"TASK ERROR: PCI device '0000:3b:00.0' already in use by VMID '310'"}, InUse,
			"task qmstart of VM 101 on pve1 failed: PCI device '0000:3b:00.0' already in use by VMID '310'", false,
		},
		{
			"a text with a line feed", "PCI device mapping invalid (hardware probably changed): 'id' does not match for 'wrong' (10de:1eb8 != 10de:1eb9)\n",
			[]string{"PCI device mapping invalid (hardware probably changed): 'id' does not match for 'wrong' (10de:1eb8 != 10de:1eb9)", "", "TASK ERROR: …"}, Hardware,
			"task qmstart of VM 101 on pve1 failed: PCI device mapping invalid (hardware probably changed): 'id' does not match for 'wrong' (10de:1eb8 != 10de:1eb9)\n  | TASK ERROR: …", false,
		},
		{
			"the cause is in the log", "start failed: QEMU exited with code 1",
			[]string{"kvm: warning: x", "kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory", "TASK ERROR: start failed: QEMU exited with code 1"}, NoMemory,
			"task qmstart of VM 101 on pve1 failed: start failed: QEMU exited with code 1\n  | kvm: warning: x\n  | kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory", false,
		},
		{
			"the node went down", "unexpected status", nil, TaskFailed,
			"task qmstart of VM 101 on pve1 failed: unexpected status", true,
		},
		{
			"no status at all", "", nil, TaskFailed,
			"task qmstart of VM 101 on pve1 failed: unexpected status", true,
		},
		{
			"only the last lines of a long log are shown", "odd",
			[]string{"1", "2", "3", "4", "5", "6", "7"}, TaskFailed,
			"task qmstart of VM 101 on pve1 failed: odd\n  | 3\n  | 4\n  | 5\n  | 6\n  | 7", false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := waitFor(t, &taskServer{exit: tt.exit, log: tt.log}, time.Hour)
			e := mustError(t, err)
			if e.Kind != tt.kind || e.Ambiguous != tt.ambiguous || e.Error() != tt.text {
				t.Errorf("kind %s, ambiguous %v, text %q", e.Kind, e.Ambiguous, e.Error())
			}
			if e.Node != "pve1" || e.VMID != 101 || e.Task.String() != testUPID || len(e.Log) != len(tt.log) {
				t.Errorf("%+v", *e)
			}
		})
	}
}

func TestTheEndOfALongLogIsSearched(t *testing.T) {
	log := make([]string, 2500)
	for i := range log {
		log[i] = fmt.Sprintf("transferred %d", i)
	}
	log[2400] = "kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory"
	_, err := waitFor(t, &taskServer{exit: "start failed: QEMU exited with code 1", log: log}, time.Hour)
	e := mustError(t, err)
	if e.Kind != NoMemory || len(e.Log) != 20 || e.Log[19] != log[2499] {
		t.Errorf("%s, %d lines: %v", e.Kind, len(e.Log), e)
	}
}

func TestAFailedTaskWithoutALogIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := inProcess(t, func(_ int, s seen) reply {
			if strings.HasSuffix(s.path, "/log") {
				return dies(596, "Broken pipe")
			}
			return says(`{"status":"stopped","exitstatus":"VM is locked (backup)"}`)
		})
		e := mustError(t, c.Task(mustUPID(testUPID)).Wait(t.Context()))
		if e.Kind != Locked || e.Ambiguous || e.Log != nil {
			t.Errorf("%+v", *e)
		}
	})
}

func TestWaitGivesATaskTimeToBeListed(t *testing.T) {
	unknown := reply{status: 400, reason: "Parameter verification failed.", body: `{"data":null,"errors":{"upid":"no such task"},"message":"Parameter verification failed.\n"}`}
	ts := &taskServer{runs: 5 * time.Minute, exit: "OK", before: func(n int, _ time.Duration) (reply, bool) { return unknown, n <= 3 }}
	if _, err := waitFor(t, ts, time.Hour); err != nil {
		t.Error(err)
	}
}

func TestWaitEndsWithTheUPIDOfTheTask(t *testing.T) {
	unknown := reply{status: 400, reason: "x", body: `{"errors":{"upid":"no such task"},"message":"Parameter verification failed.\n"}`}
	tests := []struct {
		name   string
		before func(n int, since time.Duration) (reply, bool)
		limit  time.Duration
		kind   Kind
		after  [2]time.Duration // between
		text   string
	}{
		{
			"when the context ends", nil, 90 * time.Second, Canceled, [2]time.Duration{90 * time.Second, 90 * time.Second},
			"stopped waiting for qmstart of VM 101 on pve1; the task may still be running (" + testUPID + "): context deadline exceeded",
		},
		{
			"when the server does not answer", func(int, time.Duration) (reply, bool) { return dies(595, "No route to host"), true },
			time.Hour, Unavailable, [2]time.Duration{firstPoll, 10 * time.Second},
			"the task may still be running (" + testUPID + "): GET /nodes/pve1/tasks/" + testUPID + "/status: No route to host (595)",
		},
		{
			"when the task stays unknown", func(int, time.Duration) (reply, bool) { return unknown, true },
			time.Hour, NotFound, [2]time.Duration{10 * time.Second, 15 * time.Second},
			"the server does not know the task (" + testUPID + ")",
		},
		{
			"when the task may not be seen", func(int, time.Duration) (reply, bool) {
				return dies(403, "Permission check failed (/nodes/pve1, Sys.Audit)"), true
			},
			time.Hour, Denied, [2]time.Duration{firstPoll, firstPoll},
			"the task may still be running",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			took, err := waitFor(t, &taskServer{runs: 2 * time.Hour, before: tt.before}, tt.limit)
			e := mustError(t, err)
			mustContain(t, e.Error(), tt.text)
			if e.Kind != tt.kind || !e.Ambiguous || e.Task.String() != testUPID {
				t.Errorf("kind %s, ambiguous %v, task %s", e.Kind, e.Ambiguous, e.Task)
			}
			if took < tt.after[0] || took > tt.after[1] {
				t.Errorf("after %v", took)
			}
			if tt.kind == Canceled && !errors.Is(err, context.DeadlineExceeded) {
				t.Error("the context's error is not in the chain")
			}
		})
	}
}

// TestPollAsksOnce: Poll sends one request and returns whether the task has ended.
func TestPollAsksOnce(t *testing.T) {
	unknown := reply{status: 400, reason: "x", body: `{"errors":{"upid":"no such task"},"message":"Parameter verification failed.\n"}`}
	always := func(r reply) func(int, time.Duration) (reply, bool) {
		return func(int, time.Duration) (reply, bool) { return r, true }
	}
	for name, tt := range map[string]struct {
		task  taskServer
		after time.Duration
		ended bool
		kind  Kind // of the error; "" for none
	}{
		"a task that runs":                   {taskServer{runs: time.Minute}, time.Second, false, ""},
		"one that has ended well":            {taskServer{exit: "OK"}, time.Second, true, ""},
		"one that has failed":                {taskServer{exit: "VM is locked (backup)"}, time.Second, true, Locked},
		"one that is not known yet":          {taskServer{before: always(unknown)}, time.Second, false, ""},
		"one that is still not known":        {taskServer{before: always(unknown)}, unknownGrace, false, NotFound},
		"one on a node that does not answer": {taskServer{before: always(dies(596, "Connection timed out"))}, time.Second, false, Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt.task.start = time.Now()
				c, _ := inProcess(t, tt.task.answer)
				time.Sleep(tt.after)
				ended, err := c.Task(mustUPID(testUPID)).Poll(t.Context(), tt.task.start)
				if ended != tt.ended || KindOf(err) != tt.kind {
					t.Errorf("ended %v, %s %v; want %v, %s", ended, KindOf(err), err, tt.ended, tt.kind)
				}
				if e, ok := asError(err); ok && !ended && (!e.Ambiguous || e.Task.IsZero()) {
					t.Errorf("it does not say which task may still be running: %+v", e)
				}
			})
		})
	}
}

func TestATaskIsFoundAgainByItsUPID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := &taskServer{start: time.Now(), runs: 10 * time.Second, exit: "OK"}
		c, _ := inProcess(t, func(n int, s seen) reply {
			if s.method == "POST" {
				return says(upid)
			}
			return ts.answer(n, s)
		})
		task, err := c.Start(t.Context(), "pve1", 101, 0)
		if err != nil {
			t.Fatal(err)
		}
		saved := task.String() // and here the program dies
		later, err := ParseUPID(saved)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Task(later).Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestTheZeroTaskHasSucceeded(t *testing.T) {
	if err := (Task{}).Wait(context.Background()); err != nil || !(Task{}).IsZero() {
		t.Error(err)
	}
}

func TestTwoClonesThatRaceForAnIDEndWithExists(t *testing.T) {
	clone := strings.Replace(testUPID, "qmstart:101", "qmclone:9000", 1)
	for text, want := range map[string]Kind{
		"unable to create VM 9105: config file already exists":                                       Exists,
		"can't lock file '/var/lock/qemu-server/lock-9105.conf' - got timeout":                       Exists,
		"can't lock file '/var/lock/qemu-server/lock-9000.conf' - got timeout":                       Locked,
		"close (rename) atomic file '/etc/pve/nodes/pve2/qemu-server/9105.conf' failed: File exists": Exists,
	} {
		c, _ := inProcess(t, func(_ int, s seen) reply {
			if strings.HasSuffix(s.path, "/log") {
				return reply{status: 200, reason: "OK", body: `{"data":[],"total":0}`}
			}
			return says(fmt.Sprintf(`{"status":"stopped","exitstatus":%q}`, text))
		})
		err := c.Task(mustUPID(clone)).Wait(context.Background())
		if got := KindOf(err); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestTheStatesOfTasks(t *testing.T) {
	if s := (taskStatus{Status: "running"}); !s.running() || s.succeeded() {
		t.Error("running")
	}
	if s := (taskStatus{Status: "stopped", ExitStatus: "WARNINGS: 1"}); s.running() || !s.succeeded() {
		t.Error("warnings")
	}
	if s := (taskStatus{Status: "stopped", ExitStatus: "OKAY"}); s.succeeded() {
		t.Error("only OK is OK")
	}
	if !(TaskInfo{}).Running() || (TaskInfo{EndTime: 1}).Running() {
		t.Error("of the list")
	}
}
