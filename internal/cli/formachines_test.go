package cli

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/machine"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// argumentsOf are the arguments of commands that need some to succeed.
var argumentsOf = map[string][]string{
	"apply": {"--yes"}, "park": {"gpu-workers-1", "--yes"}, "unpark": {"gpu-workers-1", "--yes"}, "replace": {"gpu-workers-1", "--yes"},
	"delete": {"gpu-workers-1", "--yes"}, "disown": {"gpu-workers-1", "--yes"}, "adopt": {"204", "--as", "gpu-workers-2", "--yes"},
	"accept": {"gpu-workers-1", "--gpu-uuid", "GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689", "--yes"},
}

// argumentsFor returns them. render writes files, so it gets a directory of its own.
func argumentsFor(t *testing.T, verb string) []string {
	t.Helper()
	if verb != "render" {
		return argumentsOf[verb]
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "gpuworker-guest-linux-amd64"), []byte(guestProgram), 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{"gpu-workers", "--cloud-init", filepath.Join(dir, "seed"), "--force", "--guest-dir", dir, "--gpu", "10de:1eb8"}
}

// commandsWithOutput returns all commands that have -o. They come from the command
// tree, so that a new command is included.
func commandsWithOutput(t *testing.T) [][]string {
	t.Helper()
	root := newApp(Program{Demo: func(context.Context, DemoRequest) error { return nil }}).root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	var all [][]string
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.HasParent() && cmd.Runnable() && cmd.InheritedFlags().Lookup("output") != nil {
			all = append(all, strings.Fields(cmd.CommandPath())[1:])
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(root)
	if len(all) < 20 {
		t.Fatalf("only %d commands: %v", len(all), all)
	}
	return all
}

// value reads a text that must be exactly one JSON value.
func value(t *testing.T, args []string, text string) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	var v map[string]any
	if err := decoder.Decode(&v); err != nil {
		t.Errorf("%v: %v: %.300s", args, err, text)
		return nil
	}
	if _, err := decoder.Token(); err != io.EOF {
		t.Errorf("%v: something is behind the value: %.300s", args, text)
	}
	return v
}

// oneValue checks that a command wrote one value and nothing else.
func (c *typed) oneValue(t *testing.T, args []string) map[string]any {
	t.Helper()
	if c.err != "" {
		t.Errorf("%v: standard error: %s", args, c.err)
	}
	v := value(t, args, c.out)
	if _, isList := v["warnings"].([]any); !isList && args[0] != "schema" { // which is a document of another form
		t.Errorf("%v: no list of warnings: %.300s", args, c.out)
	}
	return v
}

// oneError checks that a command wrote one error with a fix, and nothing else.
func (c *typed) oneError(t *testing.T, args []string) map[string]any {
	t.Helper()
	if c.out != "" {
		t.Errorf("%v: standard output: %.300s", args, c.out)
	}
	return wayOut(t, args, value(t, args, c.err))
}

// wayOut returns the error of a report, and checks that it has kind, message and fix.
func wayOut(t *testing.T, args []string, report map[string]any) map[string]any {
	t.Helper()
	e, _ := report["error"].(map[string]any)
	for _, field := range []string{"kind", "message", "fix"} {
		if text, _ := e[field].(string); text == "" {
			t.Errorf("%v: the error has no %s: %v", args, field, report)
		}
	}
	return e
}

func healthy() *fakeEngine {
	return &fakeEngine{world: homelab(), plan: planOf(kept), text: "apiVersion: v1\nkind: X\n"}
}

func TestEveryCommandSpeaksJSONAndNothingElse(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "nowhere.yaml")
	for _, words := range commandsWithOutput(t) {
		full := slices.Concat(words, argumentsFor(t, words[0]))
		t.Run(strings.Join(words, " "), func(t *testing.T) {
			c := (&typed{engine: healthy(), terminal: true, demo: true}).run(t, append(full, "-f", lab, "-o", "json")...)
			if slices.Contains(textOnly, words[0]) {
				c.wants(t, fault.ExitInvalid).oneError(t, full)
			} else {
				c.wants(t, fault.ExitOK).oneValue(t, full)
			}
			for _, asked := range [][]string{{"-o", "json"}, {"-o=json"}, {"-ojson"}, {"--output", "json"}, {"--output=json"}, {"-qo", "json"}} {
				c = (&typed{engine: healthy(), demo: true}).run(t, slices.Concat(full, []string{"--no-such-flag"}, asked)...).wants(t, fault.ExitInvalid)
				if e := c.oneError(t, full); e["kind"] != "Invalid" || e["fix"] != "gpuworker "+strings.Join(words, " ")+" --help" {
					t.Errorf("%v: %v", full, e)
				}
			}
			(&typed{engine: healthy()}).run(t, append(words, "-o", "json", "--color", "pink")...).wants(t, fault.ExitInvalid).oneError(t, full)
			for _, broken := range []*typed{
				(&typed{engine: healthy()}).run(t, append(full, "-o", "json", "-f", nowhere)...),
				(&typed{engine: &fakeEngine{err: &fault.Error{Kind: fault.Denied, Why: "no"}}}).run(t, append(full, "-o", "json", "-f", lab)...),
				(&typed{engine: healthy()}).run(t, append(words, "-o", "json", "-f", lab, "one", "two", "three", "four")...),
			} {
				if broken.code == fault.ExitOK { // it has nothing to do with that
					broken.oneValue(t, full)
				} else {
					broken.oneError(t, full)
				}
			}
		})
	}
}

func TestWithALogEveryLineIsJSONAndTheErrorIsTheLast(t *testing.T) {
	for _, words := range commandsWithOutput(t) {
		if slices.Contains(textOnly, words[0]) {
			continue
		}
		args := slices.Concat(words, argumentsFor(t, words[0]), []string{"-f", lab, "-o", "json", "-v"})
		c := (&typed{engine: healthy()}).run(t, args...).wants(t, fault.ExitOK)
		value(t, args, c.out)
		lines := strings.Split(strings.TrimSuffix(c.err, "\n"), "\n")
		if first := value(t, args, lines[0]); first["msg"] != "start" || first["command"] != "gpuworker "+strings.Join(words, " ") || first["version"] == "" {
			t.Errorf("%v: begins with %s", args, lines[0])
		}
		long := strings.Repeat("long ", 800)
		c = (&typed{engine: &fakeEngine{err: errorsOf(9, &fault.Error{Kind: fault.Denied, Why: long})}}).run(t, args...)
		if len(c.engine.calls) == 0 {
			continue // it asks nobody, so it did not fail
		}
		c.wants(t, fault.ExitDenied)
		lines = strings.Split(strings.TrimSuffix(c.err, "\n"), "\n")
		for _, line := range lines[:len(lines)-1] {
			if record := value(t, args, line); record["msg"] == nil {
				t.Errorf("%v: not a record: %s", args, line)
			}
		}
		wayOut(t, args, value(t, args, lines[len(lines)-1]))
	}
}

// errorsOf joins an error n times, as from several hypervisors.
func errorsOf(n int, err error) error {
	return &several{slices.Repeat([]error{err}, n)}
}

type several struct{ all []error }

func (s *several) Error() string   { return s.all[0].Error() }
func (s *several) Unwrap() []error { return s.all }

func TestWarningsAreAFieldOfTheResultOrOfTheError(t *testing.T) {
	text, err := os.ReadFile(lab)
	if err != nil {
		t.Fatal(err)
	}
	insecure := filepath.Join(t.TempDir(), "insecure.yaml")
	text = []byte(strings.Replace(string(text), "    credentials:", "    tls: {insecure: true}\n    credentials:", 1))
	if err := os.WriteFile(insecure, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range everyCommand {
		if !slices.Contains([]string{"hosts", "gpus", "check", "plan", "status", "assert", "apply", "park", "replace", "delete", "adopt", "orphans", "role", "export"}, command[0]) {
			continue
		}
		args := append(slices.Clone(command), "-f", insecure, "-o", "json")
		v := (&typed{engine: healthy()}).run(t, args...).oneValue(t, args)
		if warnings, _ := v["warnings"].([]any); len(warnings) != 1 {
			t.Errorf("%v: warnings %v", args, warnings)
		}
		c := (&typed{engine: &fakeEngine{err: &fault.Error{Kind: fault.Denied, Why: "no"}}}).run(t, args...)
		c.oneError(t, args)
		if warnings, _ := value(t, args, c.err)["warnings"].([]any); len(warnings) != 1 {
			t.Errorf("%v: %s", args, c.err)
		}
	}
}

func TestAPlanThatWasWrittenWithAWarningIsReadAgain(t *testing.T) {
	text, err := os.ReadFile(lab)
	if err != nil {
		t.Fatal(err)
	}
	documents, _, err := document.Load(document.File{Name: lab, Data: text})
	if err != nil {
		t.Fatal(err)
	}
	plans, err := engine.Plans{Request: plan.Request{Verb: plan.ApplyDocuments}, Documents: document.List{Documents: documents}, Plans: []*plan.Plan{planOf(kept)}}.Sealed()
	if err != nil {
		t.Fatal(err)
	}
	written, err := machine.Member(viewPlans(plans), "warnings", []string{"TLS verification is off"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodePlan(written); err != nil {
		t.Error(err)
	}
}

// Text for people that accompanies a result is in the result, or left out.
func TestSentencesForPeopleAreNotForMachines(t *testing.T) {
	gone := plan.Absent{Name: "gpu-9", Why: "no worker of this name is declared or on the hypervisor", Near: []string{"gpu-1"}}
	with := planOf(destroyed)
	with.Absent = []plan.Absent{gone}
	args := []string{"delete", "gpu-9", "workers-4", "--yes", "-f", lab, "-o", "json"}
	f := &fakeEngine{plan: with, applied: done(plan.Destroy), events: []apply.Event{{Worker: "workers-4", Step: plan.StepDestroy, Phase: apply.Done, Time: noon}}}
	v := (&typed{engine: f}).run(t, args...).wants(t, fault.ExitOK).oneValue(t, args)
	if warnings, _ := v["warnings"].([]any); len(warnings) != 1 || warnings[0] != "gpu-9: does not exist, nothing to delete (did you mean gpu-1?)" {
		t.Errorf("warnings %v", v["warnings"])
	}

	args = []string{"park", "gpu-9", "workers-4", "--yes", "-f", lab, "-o", "json"}
	unseen := []engine.Unseen{{Hypervisor: "far", Why: "no answer"}}
	c := (&typed{engine: &fakeEngine{plan: with, applied: done(plan.Park), unseen: unseen}}).run(t, args...).wants(t, fault.ExitUnavailable)
	value(t, args, c.out)
	if e := wayOut(t, args, value(t, args, c.err)); e["kind"] != "NotFound" || len(e["others"].([]any)) != 1 {
		t.Errorf("error %v", e)
	}
}

func TestAnInterruptIsOneErrorForMachines(t *testing.T) {
	signals := make(chan os.Signal, 2)
	f := healthy()
	f.looking = func(ctx context.Context) error {
		signals <- syscall.SIGINT
		<-ctx.Done()
		return ctx.Err()
	}
	args := []string{"hosts", "-f", lab, "-o", "json"}
	c := (&typed{engine: f, signals: signals}).run(t, args...).wants(t, fault.ExitInterrupted)
	if e := c.oneError(t, args); e["kind"] != "Interrupted" {
		t.Errorf("error %v", e)
	}
	c = (&typed{engine: f, signals: signals}).run(t, append(args, "-v")...).wants(t, fault.ExitInterrupted)
	if !strings.Contains(c.err, `"msg":"interrupted"`) {
		t.Errorf("the log does not have it: %s", c.err)
	}
}

func TestVersionAndNoCommandForMachines(t *testing.T) {
	args := []string{"--version", "-o", "json"}
	if v := (&typed{}).run(t, args...).wants(t, fault.ExitOK).oneValue(t, args); v["go"] == nil {
		t.Errorf("%v", v)
	}
	for _, args := range [][]string{{"-o", "json"}, {"aply", "-o", "json"}, {"aply", "--no-such-flag", "-o=json"}} {
		(&typed{}).run(t, args...).wants(t, fault.ExitInvalid).oneError(t, args)
	}
}

func TestTheOutputFormatIsFoundBeforeParsing(t *testing.T) {
	for line, want := range map[string]string{
		"plan -o json": "json", "plan -ojson": "json", "plan -o=json": "json", "plan --output=json": "json", "plan --output json": "json",
		"plan -qo json": "json", "plan -vvo=yaml": "yaml", "plan -o json -o table": "table", "plan -o xml": "", "plan": "", "plan -o": "",
		"plan -- -o json": "", "plan --offer json": "", "plan -x -o json": "json", "-o yaml --bad": "yaml",
	} {
		if got := askedOutput(strings.Fields(line)); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	// A value that only looks like the flag is none: here it is the name of a file.
	c := (&typed{}).run(t, "plan", "-f", "-o", "-q").wants(t, fault.ExitInvalid)
	if !strings.HasPrefix(c.err, "Error: read -o:") {
		t.Errorf("%s", c.err)
	}
}

func TestTheLogFlagIsWrittenInThreeWays(t *testing.T) {
	lines := func(flags ...string) int {
		c := (&typed{engine: healthy()}).run(t, append(flags, "hosts", "-f", lab)...).wants(t, fault.ExitOK)
		return strings.Count(c.err, "\n")
	}
	for _, flags := range []string{"-v", "-v=1", "-v=2", "-vv", "-v -v", "-vvv", "--log", "--log=2", "-vq", "-qv"} {
		if lines(strings.Fields(flags)...) != 2 { // start, asked
			t.Errorf("%s: %d lines", flags, lines(strings.Fields(flags)...))
		}
	}
	if n := lines("-v=0"); n != 0 {
		t.Errorf("-v=0: %d lines", n)
	}
	for _, flags := range []string{"-v=-1", "-v=much"} {
		c := (&typed{engine: healthy()}).run(t, flags, "hosts", "-f", lab).wants(t, fault.ExitInvalid)
		if !strings.Contains(c.err, "Next:  gpuworker hosts --help") {
			t.Errorf("%s: %s", flags, c.err)
		}
	}
}

// When a log is written to the same screen, progress is not repainted.
func TestTheLogTakesThePlaceOfProgress(t *testing.T) {
	f := &fakeEngine{plan: planOf(created), applied: done(plan.Create), events: []apply.Event{{Worker: "gpu-workers-2", Step: plan.StepClaim, Phase: apply.Done, Time: noon}}}
	c := (&typed{engine: f, terminal: true}).run(t, "apply", "--yes", "-f", lab, "-v", "--color", "never").wants(t, fault.ExitOK)
	if strings.Contains(c.out, "claim ✓") || strings.Contains(c.out, "\x1b[J") || !strings.Contains(c.err, " asked for=apply\n") {
		t.Errorf("out: %s\nerr: %s", c.out, c.err)
	}
}

func TestAWrongCommandLineNamesTheHelpOfItsVerb(t *testing.T) {
	for line, want := range map[string]string{
		"apply --parallel=-1 --yes": "gpuworker apply --help", "orphans --yes": "gpuworker orphans --help", "role --pve-version 7": "gpuworker role --help",
		"status --color pink": "gpuworker status --help", "park": "gpuworker park --help", "aply --color=never": "gpuworker apply -f " + lab,
	} {
		c := (&typed{engine: healthy()}).run(t, append(strings.Fields(line), "-f", lab)...).wants(t, fault.ExitInvalid)
		if !strings.Contains(c.err, "Next:  "+want+"\n") {
			t.Errorf("%s: %s", line, c.err)
		}
	}
}
