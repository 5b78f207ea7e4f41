package shell

import (
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// split returns the arguments that a real POSIX shell reads in a command line.
func split(t testing.TB, line string) []string {
	t.Helper()
	out, err := exec.Command("sh", "-c", "show() { printf '%s\\000' \"$@\"; }; show "+line).Output()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	words := strings.Split(string(out), "\x00")
	return words[:len(words)-1]
}

func TestAShellReadsExactlyTheArguments(t *testing.T) {
	hostile := rapid.StringOfN(rapid.RuneFrom([]rune("ab1 '\"`$;&|<>(){}[]*?!~#=%^,.-\\/ä漢😀")), 0, 40, MaxArgument)
	rapid.Check(t, func(rt *rapid.T) {
		args := rapid.SliceOfN(hostile, 3, 3).Draw(rt, "args")
		line := Command("%s %d %s %s", args[0], 204, args[1], args[2])
		for _, arg := range args {
			if _, ok := Word(arg); !ok {
				if line != Untypable {
					rt.Fatalf("%q cannot be typed, and %q is shown", arg, line)
				}
				return
			}
		}
		got := split(t, line)
		if len(got) != 4 || got[0] != args[0] || got[1] != "204" || got[2] != args[1] || got[3] != args[2] {
			rt.Fatalf("%q is read as %q", line, got)
		}
	})
}

func TestWords(t *testing.T) {
	for arg, want := range map[string]string{
		"gpu-1":                  "gpu-1",
		"lab.yaml":               "lab.yaml",
		"gpu-2 ; touch /tmp/x":   "'gpu-2 ; touch /tmp/x'",
		"it's":                   `'it'\''s'`,
		"":                       "''",
		"-":                      "-",
		"=ls":                    "'=ls'",
		"--yes":                  "",
		"a\nb":                   "",
		"\x1b[2J":                "",
		"a\u202eb":               "",
		"a\u200bb":               "",
		"\xff":                   "",
		strings.Repeat("a", 257): "",
	} {
		word, ok := Word(arg)
		if word != want || ok != (want != "") {
			t.Errorf("%q is written as %q, %v; want %q", arg, word, ok, want)
		}
	}
}

func TestACommandThatCannotBeTypedIsNotShown(t *testing.T) {
	if got := Command("gpuworker delete %s", "gpu-2 ; touch /tmp/x"); got != "gpuworker delete 'gpu-2 ; touch /tmp/x'" {
		t.Error(got)
	}
	if got := Command("gpuworker delete %s", "gpu\n-1"); got != Untypable {
		t.Error(got)
	}
}
