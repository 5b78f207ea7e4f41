package cli

import "testing"

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
