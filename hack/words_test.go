package hack

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// privateWords were names in this code that a reader had to learn. Each has a standard
// word as its replacement.
var privateWords = map[string]string{
	"seat": "Placement", "room": "Capacity", "want": "Requirements, or expected", "who": "WorkerKey, or caller",
	"wish": "requestKey", "crew": "poolOnHost", "shelf": "storageKey", "twin": "duplicate", "twins": "duplicates",
	"elsewhere": "onWrongHost, or otherX", "aim": "setDesired", "persist": "withRetry", "bury": "tombstoneAndDelete",
	"spend": "confirmAndApply", "fresh": "Unmarked, or new", "doubtful": "Unverified",
}

// privatePhrases are such names of several words.
var privatePhrases = map[string]string{"letgo": "retire", "strangecards": "hasForeignCards"}

// keptWords are identifiers in which such a word has its usual meaning.
var keptWords = map[string]string{
	"Persist":   "a binding that is repeated at each boot; the flag is --persist",
	"NoPersist": "the same",
}

// privateSentences must not be in any string or document.
var privateSentences = []string{
	"is not believed", "less than nothing", "nobody to ask", "of another time", "only you end", "whoever sits", "mend ", "mends ", "mended",
}

func TestNamesAreStandardWords(t *testing.T) {
	eachGoFile(t, func(path string, files *token.FileSet, file *ast.File) {
		declared := func(name *ast.Ident) {
			if _, kept := keptWords[name.Name]; kept {
				return
			}
			for _, word := range append(camelWords(name.Name), strings.ToLower(name.Name)) {
				if better := privateWords[word]; better != "" {
					t.Errorf("%s: %s: better %s", files.Position(name.Pos()), name.Name, better)
				}
			}
			for phrase, better := range privatePhrases {
				if strings.Contains(strings.ToLower(name.Name), phrase) {
					t.Errorf("%s: %s: better %s", files.Position(name.Pos()), name.Name, better)
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok {
				declared(name)
			}
			return true
		})
	})
}

var camelWord = regexp.MustCompile(`[A-Z]+(?:[a-z0-9]+|$)|[A-Z]?[a-z0-9]+|[A-Z]+`)

// camelWords returns the words of an identifier, in lower case.
func camelWords(name string) []string {
	words := camelWord.FindAllString(name, -1)
	for i := range words {
		words[i] = strings.ToLower(words[i])
	}
	return words
}

func TestSentencesArePlain(t *testing.T) {
	refuse := func(where, text string) {
		for _, sentence := range privateSentences {
			if strings.Contains(strings.ToLower(text), sentence) {
				t.Errorf("%s has %q: say it in plain words", where, sentence)
			}
		}
	}
	eachGoFile(t, func(_ string, files *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				refuse(files.Position(literal.Pos()).String(), literal.Value)
			}
			return true
		})
	})
	documents, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../docs/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range slices.Concat(documents, more, []string{"../README.md", "../CHANGELOG.md"}) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		refuse(path, string(data))
	}
}

// eachGoFile parses the Go files of all modules, except tests.
func eachGoFile(t *testing.T, do func(path string, files *token.FileSet, file *ast.File)) {
	t.Helper()
	n := 0
	for _, root := range []string{"api", "cmd", "e2e", "examples", "hack", "internal", "pve", "sim", "testdata"} {
		err := filepath.WalkDir(filepath.Join("..", root), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			n++
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			do(path, files, file)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n < 300 {
		t.Errorf("only %d files were read", n)
	}
}
