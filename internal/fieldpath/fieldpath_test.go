package fieldpath

import "testing"

func TestAFieldIsWithinWhatIsAroundIt(t *testing.T) {
	for _, test := range []struct {
		inner, outer string
		want         bool
	}{
		{"spec.gpus[0].bdf", "spec.gpus[0]", true},
		{"spec.gpus[0].bdf", "spec.gpus", true},
		{"spec.gpus", "spec.gpus", true},
		{"spec.gpus", "", true},
		{"spec.gpus", "spec.gpu", false},
		{"spec.gpus[10]", "spec.gpus[1]", false},
		{"spec", "spec.gpus", false},
	} {
		if got := Within(test.inner, test.outer); got != test.want {
			t.Errorf("Within(%q, %q) is %t", test.inner, test.outer, got)
		}
	}
	for path, want := range map[string]string{
		"spec.gpus[0].bdf": "spec.gpus[0]", "spec.gpus[0]": "spec.gpus", "spec": "", "": "",
		Entry("spec.labels", `a.b/c[0]"d["e`): "spec.labels",
	} {
		if got := Parent(path); got != want {
			t.Errorf("Parent(%q) is %q, want %q", path, got, want)
		}
	}
}
