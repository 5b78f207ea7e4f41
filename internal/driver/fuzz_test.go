package driver

import (
	"regexp"
	"testing"
)

var packageName = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._+~-]*$`)

// The kernel's release and the order come from the guest and from a file in it. Whatever
// they are, what is installed are names of packages: no options, no commands, no patterns.
func FuzzPackagesFor(f *testing.F) {
	f.Add("6.8.0-45-generic", "580", "580.95.05", "ubuntu-24.04", true)
	f.Add("5.14.0-611.24.1.el9_7.x86_64", "580", "580.95.05", "rocky-9", false)
	f.Add("6.8.0;x", "*", "../..", "debian-12", true)
	f.Fuzz(func(t *testing.T, kernel, branch, version, os string, open bool) {
		o := Order{Strategy: Packages, Branch: branch, Version: version, Open: open, Repository: "https://x"}
		in, err := PackagesFor(o, OS(os), kernel)
		if err != nil {
			return
		}
		for _, name := range in.Packages {
			if !packageName.MatchString(name) {
				t.Errorf("%+v, %q: package %q", o, kernel, name)
			}
		}
		if len(in.Packages) < 3 || len(in.Hold) == 0 {
			t.Errorf("%+v, %q: %+v", o, kernel, in)
		}
	})
}
