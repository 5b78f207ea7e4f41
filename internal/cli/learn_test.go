package cli

import (
	"encoding/json"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/buildinfo"
	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/golden"
)

func TestEveryFindingCanBeExplained(t *testing.T) {
	list := (&typed{}).run(t, "explain").wants(t, fault.ExitOK)
	for _, page := range finding.All() {
		if !strings.Contains(list.out, string(page.ID)) {
			t.Errorf("the list lacks %s", page.ID)
		}
		c := (&typed{}).run(t, "explain", strings.ToLower(string(page.ID))).wants(t, fault.ExitOK)
		if !strings.HasPrefix(c.out, string(page.ID)) || !strings.Contains(c.out, "How we know:") {
			t.Errorf("%s:\n%s", page.ID, c.out)
		}
	}
	c := (&typed{}).run(t, "explain", "CARD-HELD", "-o", "json").wants(t, fault.ExitOK)
	var page finding.Kind
	if err := json.Unmarshal([]byte(c.out), &page); err != nil || page.ID != finding.CardHeld {
		t.Errorf("%v: %s", err, c.out)
	}
}

func TestTheSchemaIsJSON(t *testing.T) {
	c := (&typed{}).run(t, "schema").wants(t, fault.ExitOK)
	if !json.Valid([]byte(c.out)) {
		t.Errorf("not JSON: %.200s", c.out)
	}
}

func TestVersionPrintsCommitAndGoVersion(t *testing.T) {
	c := (&typed{}).run(t, "version").wants(t, fault.ExitOK)
	if !regexp.MustCompile(`^gpuworker \S+ \(commit \S+, go1\.\S+, \w+/\w+\)\n$`).MatchString(c.out) {
		t.Errorf("out: %q", c.out)
	}
	c = (&typed{}).run(t, "version", "-o", "json").wants(t, fault.ExitOK)
	var v buildinfo.Info
	if err := json.Unmarshal([]byte(c.out), &v); err != nil || v.Go == "" {
		t.Errorf("%v: %s", err, c.out)
	}
}

func TestRoleNeedsNoLogin(t *testing.T) {
	c := &typed{engine: &fakeEngine{text: "pveum role add …\n"}}
	c.run(t, "role", "-f", lab, "--pve-version", "8.4").wants(t, fault.ExitOK).asked(t, string(WithoutLogin), "role 8.4")
	if c.out != "pveum role add …\n" {
		t.Errorf("out: %q", c.out)
	}
}

// TestExportIsYAMLOrOneJSONValue: -f can read both, and they mean the same.
func TestExportIsYAMLOrOneJSONValue(t *testing.T) {
	documents, err := os.ReadFile(lab)
	if err != nil {
		t.Fatal(err)
	}
	text := string(documents) + "---\n# only a comment\n"
	c := (&typed{engine: &fakeEngine{text: text}}).run(t, "export", "-f", lab).wants(t, fault.ExitOK)
	if c.out != text {
		t.Errorf("out: %q", c.out)
	}
	c = (&typed{engine: &fakeEngine{text: text}}).run(t, "export", "-f", lab, "-o", "json").wants(t, fault.ExitOK)
	var one any
	if err := json.Unmarshal([]byte(c.out), &one); err != nil {
		t.Errorf("this is no JSON value: %v\n%s", err, c.out)
	}
	want, err := document.Decode(document.File{Name: "lab.yaml", Data: documents})
	if err != nil {
		t.Fatal(err)
	}
	got, err := document.Decode(document.File{Name: "lab.json", Data: []byte(c.out)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got.WorkerPools) == 0 {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestEveryVerbExplainsItself(t *testing.T) {
	a := newApp(Program{})
	a.Demo = nil
	for _, command := range a.root().Commands() {
		if command.Hidden || command.Name() == "help" || command.Name() == "completion" {
			continue
		}
		if command.Short == "" || command.Example == "" || command.GroupID == "" {
			t.Errorf("%s lacks a sentence, an example or a group", command.Name())
		}
		if strings.HasSuffix(command.Short, ".") {
			t.Errorf("%s: the short text is no sentence with a full stop", command.Name())
		}
		for line := range strings.Lines(command.Long + "\n" + command.Example) {
			if len([]rune(line)) > 90 {
				t.Errorf("%s: the help has a long line: %s", command.Name(), line)
			}
		}
		checkExample(t, command)
	}
}

// checkExample checks that the commands and flags in an example exist.
func checkExample(t *testing.T, command *cobra.Command) {
	t.Helper()
	for line := range strings.Lines(command.Example) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "   ")
		line = strings.NewReplacer(" | ", "\x00", " > ", "\x00", " || ", "\x00").Replace(line)
		line, _, _ = strings.Cut(line, "\x00")
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "gpuworker" {
			t.Errorf("%s: an example is no command: %q", command.Name(), line)
			continue
		}
		found, rest, err := command.Root().Find(words[1:])
		if err == nil && found == command.Root() {
			t.Errorf("%s: the example %q is no command", command.Name(), line)
		}
		if err == nil {
			err = found.ParseFlags(rest)
		}
		if err != nil {
			t.Errorf("%s: the example %q: %v", command.Name(), line, err)
		}
	}
}

func TestTheHelpFitsAndNamesEveryVerb(t *testing.T) {
	c := (&typed{}).run(t).wants(t, fault.ExitOK)
	golden.Compare(t, "testdata/help.txt", c.out)
	for _, verb := range strings.Fields("hosts gpus check plan apply assert status delete replace park unpark adopt orphans export render role explain schema version completion") {
		if !regexp.MustCompile(`(?m)^  ` + verb + ` `).MatchString(c.out) {
			t.Errorf("the help does not name %s", verb)
		}
	}
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		c := (&typed{}).run(t, "completion", shell).wants(t, fault.ExitOK)
		if !strings.Contains(c.out, "gpuworker") {
			t.Errorf("%s: %.100s", shell, c.out)
		}
	}
	c := (&typed{}).run(t, "__complete", "explain", "").wants(t, fault.ExitOK)
	if !strings.Contains(c.out, "CARD-HELD\t") {
		t.Errorf("findings are not completed:\n%s", c.out)
	}
}

// exitCodes returns the exit code constants of package fault, from its source.
func exitCodes(t *testing.T) map[string]int {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "fault", "exit.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]int{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
			value, _ := constant.Int64Val(constant.MakeFromLiteral(literal.Value, literal.Kind, 0))
			codes[spec.Names[0].Name] = int(value)
		}
		return true
	})
	return codes
}

func TestEveryExitCodeIsDocumented(t *testing.T) {
	page := string(exitCodeReference())
	codes := exitCodes(t)
	if len(codes) < 8 {
		t.Fatalf("found only the codes %v", codes)
	}
	for name, code := range codes {
		if !strings.Contains(page, "| "+strconv.Itoa(code)+" | ") {
			t.Errorf("%s (%d) is not documented", name, code)
		}
	}
	if len(exitMeanings) != len(codes) {
		t.Errorf("%d codes are documented, there are %d", len(exitMeanings), len(codes))
	}
	for _, kind := range allKinds {
		if !strings.Contains(page, "`"+string(kind)+"`") {
			t.Errorf("the kind %s is in no row", kind)
		}
	}
}

func TestTheReferenceNamesEveryVerbAndFlag(t *testing.T) {
	dir := t.TempDir()
	(&typed{}).run(t, "docs", dir).wants(t, fault.ExitOK)
	text, err := os.ReadFile(filepath.Join(dir, "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"### gpuworker apply", "`--allow-restart`", "`-f, --file FILE`", "### gpuworker completion", "## Inspect"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the reference lacks %q", want)
		}
	}
	if strings.Contains(string(text), "gpuworker docs") {
		t.Error("the reference names the hidden command")
	}
	(&typed{}).run(t, "docs", filepath.Join(dir, "nowhere")).wants(t, fault.ExitInvalid)
}
