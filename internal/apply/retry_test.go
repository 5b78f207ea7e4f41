package apply

import (
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
)

// TestRetry plays the answers to a step, call by call, and checks the pause before the
// next call and the handle of that call.
func TestRetry(t *testing.T) {
	busy, silent, wrong := &fault.Error{Kind: fault.Busy}, &fault.Error{Kind: fault.Unavailable}, &fault.Error{Kind: fault.Failed}
	task := &hypervisor.Wait{CallAfter: time.Second, Handle: "task", UnderWay: true}
	memo := &hypervisor.Wait{CallAfter: time.Second, Handle: "memo"}
	for name, tt := range map[string]struct {
		answers []any // Waits and errors
		pauses  []time.Duration
		handles []hypervisor.Handle
		fails   bool // at the last call
	}{
		"refused, four times":                  {[]any{busy, busy, busy, busy}, seconds(3, 12, 27), handles("", "", ""), true},
		"refused by tasks that it asked for":   {[]any{task, busy, task, busy, task, busy, task, busy}, seconds(1, 3, 1, 12, 1, 27, 1), handles("task", "", "task", "", "task", "", "task"), true},
		"silent, four times":                   {[]any{silent, silent, silent, silent}, seconds(3, 12, 27), handles("", "", ""), true},
		"silent, with answers in between":      {[]any{memo, silent, silent, memo, silent, silent, memo}, seconds(1, 3, 12, 1, 3, 12, 1), handles("memo", "memo", "memo", "memo", "memo", "memo", "memo"), false},
		"silent while a task works":            {[]any{task, silent, silent, silent, silent, silent, task}, seconds(1, 10, 10, 10, 10, 10, 1), handles("task", "task", "task", "task", "task", "task", "task"), false},
		"silent after a task that was refused": {[]any{task, busy, silent}, seconds(1, 3, 3), handles("task", "", ""), false},
		"something else":                       {[]any{task, wrong}, seconds(1), handles("task"), true},
	} {
		t.Run(name, func(t *testing.T) {
			var r retry
			for i, answer := range tt.answers {
				wait, err := (*hypervisor.Wait)(nil), error(nil)
				switch answer := answer.(type) {
				case *hypervisor.Wait:
					wait = answer
					r.answered(answer)
				case error:
					wait, err = r.after(answer, time.Now())
				}
				switch last := i == len(tt.answers)-1; {
				case err != nil && (!last || !tt.fails):
					t.Fatalf("call %d: %v", i+1, err)
				case err == nil && last && tt.fails:
					t.Fatal("it does not fail")
				case err == nil && (wait.CallAfter != tt.pauses[i] || wait.Handle != tt.handles[i]):
					t.Errorf("call %d: pause %s, handle %q; want %s, %q", i+1, wait.CallAfter, wait.Handle, tt.pauses[i], tt.handles[i])
				}
			}
		})
	}
}

// TestRetriesOfASilentHostEnd: a large server takes ten minutes to reboot.
func TestRetriesOfASilentHostEnd(t *testing.T) {
	var r retry
	r.answered(&hypervisor.Wait{UnderWay: true})
	for after, retried := range map[time.Duration]bool{10 * time.Minute: true, silentLimit + time.Second: false} {
		if _, err := r.after(&fault.Error{Kind: fault.Unavailable}, time.Now().Add(after)); (err == nil) != retried {
			t.Errorf("after %s: %v", after, err)
		}
	}
}

func seconds(all ...int) (pauses []time.Duration) {
	for _, n := range all {
		pauses = append(pauses, time.Duration(n)*time.Second)
	}
	return pauses
}

func handles(all ...hypervisor.Handle) []hypervisor.Handle { return all }
