package planner

import (
	"reflect"
	"slices"
	"testing"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// leftOut are the fields of a snapshot that the fingerprint does not include, and why
// no decision of a plan depends on them alone.
var leftOut = map[string]string{
	"Snapshot.Hypervisor": "the name of the document", "Snapshot.Product": "words", "Snapshot.Version": "words; Supported decides", "Right.For": "words",
	"Snapshot.FreeIDs": "follows from the VMs and claims whose identifiers are of the range, which are followed", "Snapshot.IDRange": "words",
	"Snapshot.Advice": "words", "Snapshot.Setup": "decides nothing: no plan reads it",
	"Frozen.Why": "words; that it is frozen is followed", "Frozen.Fix": "advice",
	"Host.MemoryUsed": "changes by itself; judged anew by the steps", "Storage.Free": "changes by itself; judged anew by the steps",
	"Storage.Total": "judged anew by the steps; that it is known is followed", "Storage.Type": "words",
	"Gap.Why": "the words of a request that failed", "Facts.From": "where the words come from", "Facts.Missing": "the words of a request that failed; that they are missing is followed",
	"Host.Uptime": "changes by itself; what it says of facts is followed", "Facts.Old": "words with a time; that they are old is followed",
	"Finding.Fix": "advice", "Place.Hypervisor": "package place says where", "Place.Host": "likewise", "Place.Card": "likewise", "Place.VM": "likewise",
	"Place.Worker":  "likewise",
	"VM.Unreadable": "the words of a request that failed; that it is unreadable is followed", "VM.Skipped": "nothing can depend on it",
	"VM.Agent": "changes by itself", "VM.Addresses": "changes by itself",
	"Snapshot.Seeds":  "images on storages decide nothing: of a VM, the plan reads VM.Seed, which is followed",
	"Attachment.Text": "words; which cards it gives, and how, is followed",
}

// TestTheFingerprintFollowsEachField: two worlds that can lead to different plans
// have different fingerprints. Every field of a snapshot changes the fingerprint,
// except those in leftOut, so a new field must be handled in one of the two ways.
func TestTheFingerprintFollowsEachField(t *testing.T) {
	s := &inventory.Snapshot{}
	fill(reflect.ValueOf(s).Elem())
	print := func() string { return fingerprint(lab(s, pool("gpu", model("t4", 1)))) }
	before, seen := print(), map[string]bool{}
	vary(reflect.ValueOf(s).Elem(), "Snapshot", func(field, how string) {
		seen[field] = true
		reason, out := leftOut[field]
		switch changed := print() != before; {
		case !changed && !out:
			t.Errorf("%s: another %s is the same world", field, how)
		case changed && out && how == "value":
			t.Errorf("%s: is followed, although it is said not to be: %s", field, reason)
		}
	})
	if print() != before {
		t.Fatal("the test did not put back what it changed")
	}
	for field := range leftOut {
		if !seen[field] {
			t.Errorf("%s: there is no such field any more", field)
		}
	}
}

// fill sets every field: one element in each list, nothing nil.
func fill(v reflect.Value) {
	if _, is := v.Interface().(pci.BDF); is {
		v.Set(reflect.ValueOf(pci.MustBDF("0000:01:00.0")))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.String:
		v.SetString("a")
	case reflect.Bool:
	default:
		v.Set(reflect.ValueOf(1).Convert(v.Type()))
	}
}

// vary changes one thing after the other, tells visit, and puts it back.
func vary(v reflect.Value, field string, visit func(field, how string)) {
	with := func(other reflect.Value, how string) {
		old := reflect.ValueOf(v.Interface())
		v.Set(other)
		visit(field, how)
		v.Set(old)
	}
	if _, is := v.Interface().(pci.BDF); is {
		with(reflect.ValueOf(pci.MustBDF("0000:02:00.0")), "value")
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				vary(v.Field(i), v.Type().Name()+"."+f.Name, visit)
			}
		}
	case reflect.Pointer:
		with(reflect.Zero(v.Type()), "presence")
		vary(v.Elem(), field, visit)
	case reflect.Slice:
		with(reflect.Zero(v.Type()), "presence")
		if _, out := leftOut[field]; out { // with all that its elements are made of
			with(reflect.Append(v, v.Index(0)), "value")
			return
		}
		vary(v.Index(0), field, visit)
	case reflect.Map:
		with(reflect.Zero(v.Type()), "presence")
		other := reflect.MakeMap(v.Type())
		other.SetMapIndex(reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem())
		with(other, "value")
	case reflect.Bool:
		with(reflect.ValueOf(!v.Bool()).Convert(v.Type()), "value")
	case reflect.String:
		with(reflect.ValueOf(v.String()+"b").Convert(v.Type()), "value")
		with(reflect.Zero(v.Type()), "presence")
	default:
		with(reflect.ValueOf(2).Convert(v.Type()), "value")
	}
}

func TestMissingFactsChangeTheFingerprint(t *testing.T) {
	worlds := map[string]*inventory.Facts{
		"nobody asked the host": nil, "the host did not answer": {Missing: "Connection refused"}, "the host answered and has no cards": {},
		"its card is well": {Cards: []inventory.CardFacts{{Driver: "vfio-pci"}}},
	}
	var prints []string
	for name, facts := range worlds {
		s := twoT4s()
		s.Hosts[0].Facts = facts
		print := fingerprint(lab(s, pool("gpu", model("t4", 1))))
		if slices.Contains(prints, print) {
			t.Errorf("%s: the same world as another", name)
		}
		prints = append(prints, print)
	}
}
