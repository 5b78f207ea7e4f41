package host

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/e2e/host/call"
)

// aCardThatIsStuck: the card is in use in a way that no process shows, so the unbind
// does not return. After its timeout of one minute, bind ends with a special exit
// code. After that, only binding at the next boot is possible.
func aCardThatIsStuck(t *testing.T, g *guest) {
	for _, op := range []call.Op{call.Await, call.Hide} {
		if r := g.do(t, call.Request{Op: op, Path: control}); r.Error != "" {
			t.Fatal(r.Error)
		}
	}
	defer g.do(t, call.Request{Op: call.Release, Path: control}) // otherwise the machine cannot be turned off
	const long = 100 * time.Second                               // a minute for the kernel, and the time of an emulated host
	r := g.do(t, call.Request{Op: call.Run, Argv: []string{"/bin/gpuworker-host", "bind", card, "--yes"}, Patience: int(long.Milliseconds())})
	if r.Stuck || r.Code != 8 || !strings.Contains(r.Stderr, "before the host is rebooted") || !strings.Contains(r.Stderr, "--at-next-boot") {
		t.Fatalf("bind of a card that is stuck: exit %d, stuck %t\n%s%s", r.Code, r.Stuck, r.Text, r.Stderr)
	}
	for _, args := range [][]string{{"assert", card, "--bound"}, {"bind", card, "--yes"}, {"unbind", card, "--yes"}, {"bind", card}} {
		if r := g.exits(t, 8, args...); r.Micros > int((20 * time.Second).Microseconds()) {
			t.Errorf("%v took %d µs: it was tried again", args, r.Micros)
		}
	}
	if r := g.tool(t, "list"); row(r.Text, twin) == "" {
		t.Errorf("the list ends at the card that is stuck:\n%s%s", r.Text, r.Stderr)
	}
	g.exits(t, 0, "bind", card, "--at-next-boot", "--yes")
	left := g.files(t, "/etc/gpuworker-host")
	maps.Copy(left, g.files(t, "/var/lib/gpuworker-host"))

	again := g.machine
	again.name, again.files = "unstuck", left
	next := boot(t, again)
	next.has(t, given)
	next.exits(t, 0, "assert", card, "--bound")
	next.exits(t, 0, "unbind", card, "--yes")
	next.clean(t)
}
