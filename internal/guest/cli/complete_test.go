package cli

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
)

func TestCompletionOffersWhatMayFollow(t *testing.T) {
	for line, want := range map[string]string{
		"":                       "bootstrap status check gate explain seal reset completion help version",
		"check -":                "--root --verbose -o",
		"check --verbose -":      "--root -o",
		"seal ":                  "",
		"seal -":                 "--yes --worker -o",
		"seal --worker ":         "",
		"status -o ":             "json",
		"gate --root ":           "",
		"completion ":            "bash",
		"nonsense ":              "",
		"completion bash ":       "",
		"explain --root /x GUES": "",
	} {
		code, out, complaint := runTool(t, append([]string{completeVerb}, strings.Split(line, " ")...)...)
		got, expected := strings.Fields(out), strings.Fields(want)
		if strings.HasPrefix(line, "explain") {
			if !slices.Contains(got, "GUEST-ORDERS") || !slices.Contains(got, "DRIVER-MISSING") {
				t.Errorf("%q: %v", line, got)
			}
			continue
		}
		slices.Sort(got)
		slices.Sort(expected)
		if code != fault.ExitOK || complaint != "" || !slices.Equal(got, expected) {
			t.Errorf("%q: exit %d %q\n%v, want\n%v", line, code, complaint, got, expected)
		}
	}
}

// Bash sources the script, and completes with what the program offers.
func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("NOT TESTED: the completion in bash; it is not installed")
	}
	_, script, _ := runTool(t, "completion", "bash")
	const shell = `
gpuworker-guest() { [[ "$*" == "__complete seal --w" ]] && printf -- '--yes\n--worker\n-o\n'; }
COMP_WORDS=(gpuworker-guest seal --w --yes) COMP_CWORD=2
_gpuworker_guest
echo "${COMPREPLY[@]}"
complete -p gpuworker-guest
`
	out, err := exec.Command(bash, "-c", script+shell).CombinedOutput()
	if err != nil || string(out) != "--worker\ncomplete -o default -F _gpuworker_guest gpuworker-guest\n" {
		t.Errorf("%v: %s", err, out)
	}
	if code, _, complaint := runTool(t, "completion", "fish"); code != fault.ExitInvalid || !strings.Contains(complaint, "bash") {
		t.Errorf("exit %d: %s", code, complaint)
	}
}
