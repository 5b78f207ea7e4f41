package apply

import (
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
)

// TestWhatMayPassIsBorne plays what a step hears, call by call, and says what becomes
// of it: how long it rests until the next call, and with which handle it makes that.
func TestWhatMayPassIsBorne(t *testing.T) {
	busy, silent, wrong := &fault.Error{Kind: fault.Busy}, &fault.Error{Kind: fault.Unavailable}, &fault.Error{Kind: fault.Failed}
	task := &hypervisor.Wait{Again: time.Second, Handle: "task", UnderWay: true}
	memo := &hypervisor.Wait{Again: time.Second, Handle: "memo"}
	for name, tt := range map[string]struct {
		hears []any // Waits and errors
		rests []time.Duration
		with  []hypervisor.Handle
		fails bool // at the last
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
			var trouble trouble
			for i, heard := range tt.hears {
				wait, err := (*hypervisor.Wait)(nil), error(nil)
				switch heard := heard.(type) {
				case *hypervisor.Wait:
					wait = heard
					trouble.over(heard)
				case error:
					wait, err = trouble.bear(heard, time.Now())
				}
				switch last := i == len(tt.hears)-1; {
				case err != nil && (!last || !tt.fails):
					t.Fatalf("call %d: %v", i+1, err)
				case err == nil && last && tt.fails:
					t.Fatal("it goes on")
				case err == nil && (wait.Again != tt.rests[i] || wait.Handle != tt.with[i]):
					t.Errorf("call %d: it rests %s, and goes on with %q; want %s, %q", i+1, wait.Again, wait.Handle, tt.rests[i], tt.with[i])
				}
			}
		})
	}
}

// TestAHostIsNotWaitedForForEver: a large server takes ten minutes to reboot.
func TestAHostIsNotWaitedForForEver(t *testing.T) {
	var trouble trouble
	trouble.over(&hypervisor.Wait{UnderWay: true})
	for after, borne := range map[time.Duration]bool{10 * time.Minute: true, silentLimit + time.Second: false} {
		if _, err := trouble.bear(&fault.Error{Kind: fault.Unavailable}, time.Now().Add(after)); (err == nil) != borne {
			t.Errorf("after %s: %v", after, err)
		}
	}
}

func seconds(all ...int) (rests []time.Duration) {
	for _, n := range all {
		rests = append(rests, time.Duration(n)*time.Second)
	}
	return rests
}

func handles(all ...hypervisor.Handle) []hypervisor.Handle { return all }
