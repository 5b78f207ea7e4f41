package cli

import (
	"slices"
	"strings"
	"testing"
)

func TestCompletionOffersWhatMayFollow(t *testing.T) {
	root := "--root " + "testdata/workstation.txt"
	for line, want := range map[string]string{
		"":                                 "list check explain bind unbind assert capture metrics completion help version",
		"bind " + root + " ":               "0000:01:00.0 0000:41:00.0",
		"check " + root + " 0000:01:00.0 ": "0000:41:00.0",
		"unbind 0000:01:00.0 -":            "--root --yes -o",
		"completion ":                      "bash",
		"list ":                            "",
		"nonsense ":                        "",
		"bind --root /no/such/directory ":  "",
		"bind --root ":                     "",
		"capture -o ":                      "",
	} {
		code, out, complaint := run(t, "", append([]string{completeVerb}, strings.Split(line, " ")...)...)
		got, expected := strings.Fields(out), strings.Fields(want)
		slices.Sort(got)
		slices.Sort(expected)
		if code != 0 || complaint != "" || !slices.Equal(got, expected) {
			t.Errorf("%q: exit %d %q\n%v, want\n%v", line, code, complaint, got, expected)
		}
	}
	if _, out, _ := run(t, "", completeVerb, "explain", "HOST-"); !strings.Contains(out, "HOST-GROUP-FOREIGN-DEVICE\n") {
		t.Errorf("explain: %s", out)
	}
}
