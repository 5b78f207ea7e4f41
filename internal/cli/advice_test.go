package cli

import (
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/machine"
)

func TestTheCommandsInAdviceHaveTheFiles(t *testing.T) {
	a := newApp(Program{})
	a.files = []string{"lab.yaml", "my pools.yaml"}
	for text, want := range map[string]string{
		"gpuworker gpus lists the cards":                                  "gpuworker gpus -f lab.yaml -f 'my pools.yaml' lists the cards",
		"choose another card, or let it go first: gpuworker delete gpu-1": "choose another card, or let it go first: gpuworker delete -f lab.yaml -f 'my pools.yaml' gpu-1",
		"gpuworker role -f FILE prints the commands":                      "gpuworker role -f lab.yaml -f 'my pools.yaml' prints the commands",
		"gpuworker plans the change itself":                               "gpuworker plans the change itself",
		"gpuworker explain HOST-DRIVER":                                   "gpuworker explain HOST-DRIVER",
		"gpuworker apply --help":                                          "gpuworker apply --help",
		"gpuworker-host check":                                            "gpuworker-host check",
	} {
		if got := a.advice(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	a.files = nil
	if got := a.advice("gpuworker role -f FILE prints the commands"); got != "gpuworker role prints the commands" {
		t.Errorf("with the standard file: %q", got)
	}
}

func TestTheCommandsInAResultForProgramsHaveTheFiles(t *testing.T) {
	a := newApp(Program{})
	a.files = []string{`my "pools".yaml`}
	result := a.withWarnings(map[string]any{"findings": []any{
		map[string]any{"fix": `gpuworker delete <a>`, "reason": `VM "gpuworker delete" is there`},
		map[string]any{"hint": "then: gpuworker apply"}, map[string]any{"next": "wait"},
	}})
	text, err := machine.JSON(result)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"fix": "gpuworker delete -f 'my \"pools\".yaml' <a>"`, `"hint": "then: gpuworker apply -f 'my \"pools\".yaml'"`,
		`"reason": "VM \"gpuworker delete\" is there"`, `"next": "wait"`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is missing in %s", want, text)
		}
	}
}
