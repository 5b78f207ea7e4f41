package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/golden"
)

// hostsOfTheDocs are the captured hosts that docs/hosts.md shows.
var hostsOfTheDocs = map[string]string{
	"healthy": "", "nouveau": "08-nouveau-has-the-card.txt", "bound by hand": "08b-bound-by-hand.txt",
}

var blockForm = regexp.MustCompile("(?s)<!-- host: ([a-z ]+) -->\n```console\n\\$ gpuworker-host ([^\n]*)\n(.*?)```\n")

// TestTheDocsShowWhatTheProgramPrints runs the commands of docs/hosts.md and
// compares; -update rewrites the page.
func TestTheDocsShowWhatTheProgramPrints(t *testing.T) {
	page := filepath.Join("..", "..", "..", "docs", "hosts.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	made := blockForm.ReplaceAllStringFunc(string(text), func(block string) string {
		blocks++
		m := blockForm.FindStringSubmatch(block)
		change, known := hostsOfTheDocs[m[1]]
		if !known {
			t.Fatalf("no captured host is called %q", m[1])
		}
		_, out, complaint := run(t, "", append(strings.Fields(m[2]), "--root", fixture(t, change))...)
		return strings.Replace(block, m[3]+"```\n", strings.TrimRight(out+complaint, "\n")+"\n```\n", 1)
	})
	if blocks < 5 {
		t.Errorf("only %d blocks were found", blocks)
	}
	if *golden.Update {
		if err := os.WriteFile(page, []byte(made), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), made); diff != "" {
		t.Errorf("%s (-page +program), -update writes it anew:\n%s", page, diff)
	}
}
