package cli

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// oneError reads standard error, which must be one error with a fix.
func oneError(t *testing.T, args []string, out, complaint string) fault.View {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(complaint))
	var report map[string]fault.View
	err := decoder.Decode(&report)
	if _, end := decoder.Token(); err != nil || end != io.EOF || out != "" {
		t.Errorf("%v: %v, standard output %q, standard error %q", args, err, out, complaint)
	}
	if e := report["error"]; e.Kind == "" || e.Message == "" || e.Fix == "" {
		t.Errorf("%v: kind, message or fix is missing: %s", args, complaint)
	}
	return report["error"]
}

func TestAnUnknownFlagIsOneErrorInJSONForEveryCommand(t *testing.T) {
	for _, c := range commands() {
		if c.output != "" {
			continue // its -o is a file
		}
		for _, asked := range [][]string{{"-o", "json"}, {"-o=json"}, {"--o=json"}, {"--output", "json"}, {"--output=json"}} {
			args := slices.Concat([]string{c.name, "--no-such-flag"}, asked)
			code, out, complaint := run(t, "", args...)
			e := oneError(t, args, out, complaint)
			if code != fault.ExitInvalid || e.Kind != fault.Invalid || e.Fix != "gpuworker-host "+c.name+" -h" {
				t.Errorf("%v: exit %d, %+v", args, code, e)
			}
		}
		args := []string{c.name, "one", "two", "three", "-o", "json"}
		if code, out, complaint := run(t, "", args...); code != fault.ExitInvalid {
			t.Errorf("%v: exit %d, %s", args, code, complaint)
		} else {
			oneError(t, args, out, complaint)
		}
	}
}

func TestWrongCommandLinesAreOneErrorInJSON(t *testing.T) {
	for _, line := range []string{
		"lst -o json", "version more -o json", "list --root nowhere.txt -o json", "explain NOBODY -o json", "bind 00:00 -o json", "assert 0000:01:00.0 -o json",
	} {
		args := strings.Fields(line)
		code, out, complaint := run(t, "", args...)
		if oneError(t, args, out, complaint); code != fault.ExitInvalid {
			t.Errorf("%s: exit %d", line, code)
		}
	}
	for _, line := range []string{"lst", "list --no-such-flag", "list --no-such-flag -o json -o table", "capture --no-such-flag -o json", "metrics more -o json", "list -- -o json"} {
		if _, _, complaint := run(t, "", strings.Fields(line)...); !strings.HasPrefix(complaint, "gpuworker-host: ") {
			t.Errorf("%s: %q", line, complaint)
		}
	}
}

func TestTheVersionAcceptsBothFormsOfTheFlag(t *testing.T) {
	_, spaced, _ := run(t, "", "version", "-o", "json")
	_, joined, _ := run(t, "", "version", "-o=json")
	if spaced != joined || !json.Valid([]byte(joined)) {
		t.Errorf("%s and %s", spaced, joined)
	}
}
