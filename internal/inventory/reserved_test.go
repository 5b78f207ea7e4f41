package inventory

import (
	"reflect"
	"testing"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// TestASnapshotWithReservationsHasAllElse: no field may be forgotten.
func TestASnapshotWithReservationsHasAllElse(t *testing.T) {
	full := &Snapshot{}
	v := reflect.ValueOf(full).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.CanSet() {
			fill(f)
		}
	}
	full.FreeIDs = []string{"1", "2"}
	with := full.Reserved([]Claim{{Card: pci.CardRef{Host: "a"}}}, []string{"1", "7"})
	if len(with.FreeIDs) != 1 || with.FreeIDs[0] != "2" {
		t.Errorf("free are %q", with.FreeIDs)
	}
	if len(with.Claims) != 2 || len(full.Claims) != 1 || with.Claim(pci.CardRef{Host: "a"}) == nil {
		t.Errorf("the claims are %v, before %v", with.Claims, full.Claims)
	}
	with.Claims, with.FreeIDs = full.Claims, full.FreeIDs
	for i := range v.NumField() {
		if name := v.Type().Field(i); name.IsExported() && !reflect.DeepEqual(v.Field(i).Interface(), reflect.ValueOf(with).Elem().Field(i).Interface()) {
			t.Errorf("%s is not copied", name.Name)
		}
	}
}

// fill sets a field to something that is not its zero value.
func fill(f reflect.Value) {
	switch f.Kind() {
	case reflect.String:
		f.SetString("x")
	case reflect.Bool:
		f.SetBool(true)
	case reflect.Int:
		f.SetInt(1)
	case reflect.Slice:
		f.Set(reflect.MakeSlice(f.Type(), 1, 1))
	case reflect.Pointer:
		f.Set(reflect.New(f.Type().Elem()))
	case reflect.Map:
		f.Set(reflect.MakeMap(f.Type()))
	case reflect.Struct:
		for i := range f.NumField() {
			if f.Field(i).CanSet() {
				fill(f.Field(i))
			}
		}
	}
}
