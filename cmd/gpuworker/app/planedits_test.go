package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/thorough"
)

// edit is one change of a plan file.
type edit struct {
	what string // where, and what
	file []byte
}

// editsOf returns edits of a plan: each value gets another value, another type and null;
// each field and element is removed and doubled; unknown fields are added.
func editsOf(t *testing.T, file []byte) []edit {
	t.Helper()
	var whole any
	if err := json.Unmarshal(file, &whole); err != nil {
		t.Fatal(err)
	}
	var all []edit
	note := func(what string) {
		data, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, edit{what, data})
	}
	eachValue(whole, "", func(any) {}, func(path string, value any, set func(any)) {
		for what, other := range othersThan(value, len(all)) {
			set(other)
			note(path + ": " + what)
		}
		set(value)
	}, note)
	return all
}

// anyType has a value of each type.
var anyType = []any{nil, []any{}, map[string]any{}, 7.0, "x", true, ""}

// othersThan returns replacements for a value: one of its own type, and the nth of anyType.
func othersThan(value any, nth int) map[string]any {
	typed := anyType[nth%len(anyType)]
	others := map[string]any{fmt.Sprintf("now %#v", typed): typed}
	switch v := value.(type) {
	case string:
		others["longer"] = v + "x"
	case float64:
		others["more"] = v + 1
	case bool:
		others["the contrary"] = !v
	}
	maps.DeleteFunc(others, func(_ string, other any) bool { return cmp.Equal(other, value) })
	return others
}

// eachValue calls do for each value inside a value, with a function that sets it, and note
// after each other change of objects and lists.
func eachValue(value any, path string, set func(any), do func(path string, value any, set func(any)), note func(what string)) {
	if path != "" {
		do(path, value, set)
	}
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			member := v[key]
			eachValue(member, path+"."+key, func(x any) { v[key] = x }, do, note)
			delete(v, key)
			note(path + "." + key + ": taken out")
			v[key] = member
			capital := strings.ToUpper(key[:1]) + key[1:]
			v[capital] = "x"
			note(path + "." + key + ": again in capitals")
			delete(v, capital)
			if v[key] == nil {
				v[key] = member
			}
		}
		v["zzz"] = "x"
		note(path + ": an unknown field")
		delete(v, "zzz")
	case []any:
		for i := range v {
			eachValue(v[i], fmt.Sprintf("%s[%d]", path, i), func(x any) { v[i] = x }, do, note)
			set(slices.Concat(v[:i], v[i+1:]))
			note(fmt.Sprintf("%s[%d]: taken out", path, i))
			set(slices.Concat(v[:i+1], v[i:]))
			note(fmt.Sprintf("%s[%d]: doubled", path, i))
			set(v)
		}
		if len(v) > 1 {
			set(slices.Concat(v[1:], v[:1]))
			note(path + ": in another order")
			set(v)
		}
	}
}

// An edited plan file is refused and nothing is changed, or the edit has no effect: the
// plan and the result are the same as those of the original file.
func TestAnEditedPlanIsRefusedOrDoesTheSame(t *testing.T) {
	for _, s := range planScenes() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			var without []edit // effect
			var want string
			inScene(t, s, "json", func(l *oldLab, file string) { without = l.withoutEffect(file) })
			inScene(t, s, "json", func(l *oldLab, file string) {
				if p := l.typed("apply --yes --plan " + file); p.code != 0 {
					t.Fatalf("exit code %d:\n%s%s", p.code, p.out, p.err)
				}
				want = ledTo(t, l.sim.State())
			})
			const some = 17 // one in so many is carried out to the end
			for i := 0; i < len(without); i += some {
				inScene(t, s, "json", func(l *oldLab, file string) {
					l.write(file, without[i].file)
					p := l.typed("apply --yes --plan " + file)
					if diff := cmp.Diff(want, ledTo(t, l.sim.State())); diff != "" || p.code != 0 {
						t.Errorf("%s: exit code %d, and it leads elsewhere (-unedited +edited):\n%s%s%s", without[i].what, p.code, diff, p.out, p.err)
					}
				})
			}
		})
	}
}

// fewEdits is the step between tested edits: there are thousands.
const fewEdits = thorough.Every * thorough.Every

// withoutEffect returns the edits of a plan that are not refused. It fails the test when
// one of them leads to another result, or when any edit changes the cluster.
func (l *oldLab) withoutEffect(file string) []edit {
	l.t.Helper()
	unedited, err := os.ReadFile(file)
	if err != nil {
		l.t.Fatal(err)
	}
	would := l.typed("apply --dry-run -o json --plan " + file)
	if would.code != 0 {
		l.t.Fatalf("exit code %d:\n%s%s", would.code, would.out, would.err)
	}
	var without []edit
	edits := editsOf(l.t, unedited)
	for i := 0; i < len(edits); i += fewEdits {
		l.write(file, edits[i].file)
		switch p := l.typed("apply --dry-run -o json --plan " + file); {
		case p.code == 0:
			without = append(without, edits[i])
			if diff := cmp.Diff(would.out, p.out); diff != "" {
				l.t.Errorf("%s: not refused, and it would do another thing (-unedited +edited):\n%s", edits[i].what, diff)
			}
		case p.out != "" || p.err == "":
			l.t.Errorf("%s: exit code %d with\n%s%s", edits[i].what, p.code, p.out, p.err)
		}
	}
	if written := l.writes.take(); len(written) > 0 {
		l.t.Errorf("edits of a plan wrote to the cluster: %v", written)
	}
	l.t.Logf("%d edits, %d of them without effect", len(edits), len(without))
	if len(without)*fewEdits < 20 || len(without) == len(edits) {
		l.t.Errorf("%d of %d edits are not refused: the test proves nothing", len(without), len(edits))
	}
	return without
}

func (l *oldLab) write(file string, data []byte) {
	l.t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// validEdits are changes that leave a plan for the cluster "empty" valid, so that only the
// comparison can refuse them.
var validEdits = [][2]string{
	{`"memory": "8Gi"`, `"memory": "12Gi"`},
	{`"cores": 4`, `"cores": 5`},
	{`"size": "20Gi"`, `"size": "30Gi"`},
	{`"bdf": "0000:03:00.0"`, `"bdf": "0000:04:00.0"`},
	{`"replicas": 2`, `"replicas": 1`},
	{`"clone": "Full"`, `"clone": "Linked"`},
	{`"protection": true`, `"protection": false`},
	{`"onBoot": true`, `"onBoot": false`},
	{`"example.com/rack": "r7"`, `"example.com/rack": "r9"`},
	{`"effect": "NoSchedule"`, `"effect": "NoExecute"`},
	{`"template": {`, `"networks": [{"vlan": 7}], "template": {`},
	{`"lifecycle": "Ephemeral"`, `"lifecycle": "SemiPersistent"`},
	{`"endpoint": "https://pve1:8006"`, `"endpoint": "https://evil:8006"`},
	{`"endpoint": "https://pve1:8006"`, `"tls": {"insecure": true}, "endpoint": "https://pve1:8006"`},
	{`"endpoint": "https://pve1:8006"`, `"resourcePool": "other", "endpoint": "https://pve1:8006"`},
	{`"env": "PVE_TOKEN"`, `"env": "AWS_SECRET_ACCESS_KEY"`},
	{`"env": "PVE_TOKEN"`, `"file": "/etc/shadow"`},
	{`"last": 9199`, `"last": 9999`},
	{`"first": 9100`, `"first": 9110`},
	{`"proxmox": {`, `"requireHostFacts": true, "proxmox": {`},
	{`"server": "https://rke2:9345"`, `"server": "https://evil:9345"`},
	{`"verb": "apply"`, `"verb": "orphans"`},
	{`"verb": "apply"`, `"allOrNothing": true, "verb": "apply"`},
	{`"verb": "apply"`, `"allowRestart": true, "verb": "apply"`},
	{`"verb": "apply"`, `"verb": "delete", "workers": ["gpu-1"]`},
}

func TestValidEditsOfAPlanAreRefusedBeforeAnybodyLogsIn(t *testing.T) {
	inScene(t, planScenes()[0], "json", func(l *oldLab, file string) {
		unedited, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		asked := &asks{next: l.liar.next}
		l.liar.next = asked
		for _, e := range validEdits {
			edited := strings.Replace(string(unedited), e[0], e[1], 1)
			if edited == string(unedited) {
				t.Fatalf("the plan has no %s", e[0])
			}
			l.write(file, []byte(edited))
			p := l.typed("apply --yes --plan " + file)
			if p.code != 2 || !strings.Contains(p.err, "were edited after the plan was made") {
				t.Errorf("%s: exit code %d:\n%s%s", e[1], p.code, p.out, p.err)
			}
		}
		if n := asked.count.Load(); n > 0 {
			t.Errorf("the hypervisor was asked %d times", n)
		}
	})
}

// asks counts requests.
type asks struct {
	next  http.RoundTripper
	count atomic.Int64
}

func (a *asks) RoundTrip(request *http.Request) (*http.Response, error) {
	a.count.Add(1)
	return a.next.RoundTrip(request)
}

// An edited plan with a recalculated checksum requests another plan, and the decisions
// in the file are not those of the new plan.
func TestAForgedPlanIsRefused(t *testing.T) {
	for _, e := range [][2]string{
		{"memory: 8Gi", "memory: 12Gi"}, {"cores: 2", "cores: 3"}, {"size: 20Gi", "size: 30Gi"}, {"replicas: 2", "replicas: 1"}, {"replicas: 2", "replicas: 3"},
		{"clone: Full", "clone: Linked"}, {"rack: r7", "rack: r9"}, {"NoSchedule", "NoExecute"}, {"lifecycle: SemiPersistent", "proxmox: {protection: false}"},
		{"template: {name: ubuntu-22.04}", "template: {name: ubuntu-22.04}\n  proxmox: {onBoot: false}"}, {"{name: plain}", "{name: others}"},
	} {
		inScene(t, planScenes()[0], "json", func(l *oldLab, file string) {
			var seen, forged map[string]any
			l.mustRead(file, &seen)
			l.declare(e[0], e[1])
			l.write(file, []byte(l.must("plan -o json").out))
			l.mustRead(file, &forged)
			forged["plans"] = seen["plans"]
			data, err := json.Marshal(forged)
			if err != nil {
				t.Fatal(err)
			}
			l.write(file, data)
			l.writes.take()
			for _, given := range []string{"", " -f " + l.document} {
				if p := l.typed("apply --yes --plan " + file + given); p.code != 7 || len(l.writes.take()) > 0 {
					t.Errorf("%s: exit code %d:\n%s%s", e[1], p.code, p.out, p.err)
				}
			}
		})
	}
}

func (l *oldLab) mustRead(file string, into any) {
	l.t.Helper()
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}
