package guest

import (
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/bootstrap"
)

// cloud-init prefers ifupdown where both are installed; its renderers differ.
func TestTheDefaultRouteIsThereWithIfupdownToo(t *testing.T) {
	if testing.Short() {
		t.Skip("left out: it takes two minutes")
	}
	l := theLab(t)
	w := l.worker(t, "debian-12", "{strategy: Operator}")
	m := l.start(t, settings{
		uuid: w.UUID, disk: l.newDisk(t, "ifupdown"), seed: l.image(t, "ifupdown", bootstrap.Render, w), card: true,
		append: "cc: {system_info: {network: {renderers: [eni]}}} end_cc",
	})
	a := agentOf(t, m)
	boot := a.bootID(t, "")
	m.progress(t, "the agent answers")
	a.status(t, boot, "ready", ready)
	m.progress(t, "ready")
	a.output(t, "grep -q 'gateway 10.77.0.2' /etc/network/interfaces.d/* /etc/network/interfaces; ! command -v route")
	if route := a.output(t, "ip -4 route show default"); !strings.HasPrefix(route, "default via 10.77.0.2 dev ") {
		t.Errorf("default route %q", route)
	}
	t.Logf("%s", a.output(t, "ip -4 -br addr; ip -4 route; cat /etc/network/interfaces.d/50-cloud-init"))
}
