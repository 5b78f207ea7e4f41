package tree

import (
	"strings"
	"testing"
)

func TestMissingRightsAreNamed(t *testing.T) {
	const (
		root    = "-- proc/self/status --\nName:\tgpuworker-host\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n"
		whole   = "-- proc/self/uid_map --\n         0          0 4294967295\n"
		first   = "-- proc/self/ns/pid -> pid:[4026531836] --\n"
		mounted = "-- proc/self/mountinfo --\n22 28 0:21 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n"
	)
	for name, test := range map[string]struct {
		host  string
		wants []string
		not   string
	}{
		"nobody knows who":            {"-- sys/class/ --\n", []string{"run it as root"}, ""},
		"an ordinary user":            {strings.Replace(root, "\t0\t0\t0\t0", "\t1000\t1000\t1000\t1000", 1), []string{"run it as root"}, ""},
		"setuid for another":          {strings.Replace(root, "\t0\t0\t0\t0", "\t0\t1000\t0\t1000", 1), []string{"run it as root"}, ""},
		"root, and all is well":       {root + whole + first + mounted, []string{"already runs as root", "kernel's log"}, "run it"},
		"root of a user namespace":    {root + "-- proc/self/uid_map --\n0 100000 65536\n" + first, []string{"on the host itself", "user namespace"}, "as root"},
		"a container with few rights": {strings.Replace(root, "000001ffffffffff", "00000000a80425fb", 1) + whole, []string{"no CAP_SYS_PTRACE", "no CAP_SYS_ADMIN"}, "as root"},
		"a container with no rights":  {strings.Replace(root, "000001ffffffffff", "0000000000000000", 1) + whole, []string{"no CAP_DAC_READ_SEARCH"}, "as root"},
		"its own processes":           {root + whole + "-- proc/self/ns/pid -> pid:[4026532201] --\n", []string{"PID namespace"}, "as root"},
		"sysfs cannot be written":     {root + whole + first + strings.Replace(mounted, "/sys rw,", "/sys ro,", 1), []string{"/sys is mounted read-only"}, "as root"},
		"a captured host":             {root + "-- captured/date --\n2026-11-22T12:00:00Z\n", []string{"capture the host again"}, ""},
	} {
		tree, err := Parse([]byte(test.host))
		if err != nil {
			t.Fatal(err)
		}
		got := ToSeeMore(tree)
		for _, want := range test.wants {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q lacks %q", name, got, want)
			}
		}
		if test.not != "" && strings.Contains(got, test.not) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
