package cli

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// everyCommand are command lines that print something and succeed.
var everyCommand = [][]string{
	{"hosts"}, {"gpus"}, {"check"}, {"plan"}, {"status"}, {"assert"}, {"apply", "--yes"}, {"park", "gpu-workers-1"},
	{"unpark", "gpu-workers-1"}, {"replace", "gpu-workers-1"}, {"delete", "gpu-workers-1"}, {"adopt", "204", "--as", "gpu-workers-2"},
	{"orphans"}, {"explain"}, {"explain", "CARD-HELD"}, {"role"}, {"schema"}, {"export"}, {"version"}, {"--version"}, {"--help"},
}

func TestAFullDiskIsAFailureOfEveryCommandInEveryFormat(t *testing.T) {
	for _, args := range append(everyCommand, []string{"completion", "bash"}) {
		for _, format := range outputs {
			if args[0] == "completion" && format != outTable {
				continue // it only prints text
			}
			disk, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			f := &fakeEngine{world: homelab(), plan: planOf(kept), text: "text: of some kind\n"}
			c := &typed{engine: f, disk: disk}
			c.run(t, append(args, "-f", lab, "-o", format, "--color", "never")...)
			_ = disk.Close()
			if c.code != fault.ExitFailed || !strings.Contains(c.err, "no space left on device") {
				t.Errorf("%v -o %s ends with %d and says %q", args, format, c.code, c.err)
			}
		}
	}
}

func TestAnInterruptEndsTheReadOfAPipe(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo.yaml")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	input, writer := io.Pipe()
	for name, file := range map[string]string{"standard input": "-", "a FIFO": fifo} {
		for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
			signals := make(chan os.Signal, 2)
			signals <- signal
			c := (&typed{engine: &fakeEngine{}, signals: signals, reader: input}).run(t, "plan", "-f", file)
			if c.code != fault.ExitInterrupted || !strings.Contains(c.err, "Interrupted.") || len(c.engine.calls) > 0 {
				t.Errorf("%s, %v: exit %d, %q", name, signal, c.code, c.err)
			}
		}
	}
	_ = writer.Close() // who still reads ends
	if end, err := os.OpenFile(fifo, os.O_RDWR, 0); err == nil {
		_ = end.Close()
	}
}

// endless is a file that never ends.
type endless struct{}

func (endless) Read(data []byte) (int, error) { return len(data), nil }

func TestDocumentsHaveASizeLimit(t *testing.T) {
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, bytes.Repeat([]byte("# comment\n"), maxDocuments/10+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, files := range [][]string{{"-f", "-"}, {"-f", large}, {"-f", "/dev/zero"}, {"-f", lab, "-f", large}} {
		c := (&typed{engine: &fakeEngine{}, reader: endless{}}).run(t, append([]string{"plan"}, files...)...)
		if c.code != fault.ExitInvalid || !strings.Contains(c.err, "larger than 16 MiB") {
			t.Errorf("%v: exit %d, %q", files, c.code, c.err)
		}
	}
}

func TestVersionIsAFlagToo(t *testing.T) {
	command, flag := (&typed{}).run(t, "version").wants(t, fault.ExitOK), (&typed{}).run(t, "--version").wants(t, fault.ExitOK)
	if command.out != flag.out || flag.out == "" {
		t.Errorf("%q and %q", command.out, flag.out)
	}
}

func TestSuggestedCommandsQuoteFileNames(t *testing.T) {
	folder := t.TempDir()
	odd := filepath.Join(folder, "my lab; it's.yaml")
	text, err := os.ReadFile(lab)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(odd, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c := (&typed{engine: &fakeEngine{plan: planOf(created), applied: done(plan.Create)}}).run(t, "apply", "--yes", "-f", odd)
	if want := "Next:  gpuworker status -f '" + folder + `/my lab; it'\''s.yaml'` + "\n"; !strings.HasSuffix(c.out, want) {
		t.Errorf("%s\nwant %s", c.out, want)
	}
}

// Printing with fmt would bypass the cleaning of names and messages.
func TestThePackagePrintsOnlyThroughTerm(t *testing.T) {
	allowed := map[string]bool{"docs.go": true, "exitcodes.go": true} // pages that are made from our own texts
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || allowed[name] {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && strings.HasPrefix(s.Sel.Name, "Fprint") {
				if from, ok := s.X.(*ast.Ident); ok && from.Name == "fmt" {
					t.Errorf("%s: fmt.%s", set.Position(n.Pos()), s.Sel.Name)
				}
			}
			return true
		})
	}
}
