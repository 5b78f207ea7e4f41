// Package hack has tests of the structure and the documentation of the repository, and the
// generators of docs/reference.
package hack

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const module = "github.com/gpuworker/gpuworker"

// importRule is one depguard rule, with the features that .golangci.yml uses.
// Source: README of github.com/OpenPeeDeeP/depguard.
type importRule struct {
	Files    []string `json:"files"`
	ListMode string   `json:"list-mode"`
	Allow    []string `json:"allow"`
	Deny     []struct {
		Pkg  string `json:"pkg"`
		Desc string `json:"desc"`
	} `json:"deny"`
}

// folderOf returns the folder of a pattern like "${config-path}/internal/place/**".
func folderOf(pattern string) (folder string, ok bool) {
	folder, ok = strings.CutPrefix(pattern, "${config-path}/")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(folder, "/**")
}

func (r importRule) folders() []string {
	var folders []string
	for _, pattern := range r.Files {
		if folder, ok := folderOf(pattern); ok {
			folders = append(folders, folder)
		}
	}
	return folders
}

// covers reports whether the rule applies to a file of the repository.
func (r importRule) covers(file string) bool {
	if slices.Contains(r.Files, "!$test") && strings.HasSuffix(file, "_test.go") {
		return false
	}
	return slices.ContainsFunc(r.folders(), func(folder string) bool { return strings.HasPrefix(file, folder+"/") })
}

// refuses says why an import is not allowed, or returns "". When an allowed and a denied
// name match, the longer one wins. A strict rule refuses imports that match no name.
func (r importRule) refuses(imported string) (why string) {
	allowed, denied := -1, -1
	for _, name := range r.Allow {
		if named(name, imported) {
			allowed = max(allowed, len(name))
		}
	}
	for _, deny := range r.Deny {
		if named(deny.Pkg, imported) && len(deny.Pkg) > denied {
			denied, why = len(deny.Pkg), deny.Desc
		}
	}
	switch {
	case denied > allowed:
		return why
	case allowed < 0 && r.ListMode == "strict":
		return "the rule is strict and does not allow it"
	}
	return ""
}

// named reports whether an import matches a name of a rule.
func named(name, imported string) bool {
	if name == "$gostd" {
		first, _, _ := strings.Cut(imported, "/")
		return !strings.Contains(first, ".")
	}
	if exact, ok := strings.CutSuffix(name, "$"); ok {
		return imported == exact
	}
	return strings.HasPrefix(imported, name)
}

func importRules(t *testing.T) map[string]importRule {
	t.Helper()
	text, err := os.ReadFile("../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules map[string]importRule `json:"rules"`
				} `json:"depguard"`
			} `json:"settings"`
		} `json:"linters"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	rules := config.Linters.Settings.Depguard.Rules
	if len(rules) == 0 {
		t.Fatal(".golangci.yml has no import rules")
	}
	return rules
}

// source is one Go file of the repository and what it imports.
type source struct {
	file    string // below the root, with slashes
	imports []string
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || name != "." && strings.HasPrefix(entry.Name(), ".") || name == "bin"):
			return fs.SkipDir
		case path.Ext(name) != ".go":
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", name), nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		s := source{file: name}
		for _, i := range parsed.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, imported)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestNoPackageImportsWhatTheRulesForbid(t *testing.T) {
	rules := importRules(t)
	for _, s := range sources(t) {
		for name, rule := range rules {
			if !rule.covers(s.file) {
				continue
			}
			for _, imported := range s.imports {
				if why := rule.refuses(imported); why != "" {
					t.Errorf("%s imports %s, which rule %q of .golangci.yml forbids: %s", s.file, imported, name, why)
				}
			}
		}
	}
}

// Forbidden packages must not be imported indirectly either.
func TestNoPackageImportsForbiddenPackagesIndirectly(t *testing.T) {
	graph := map[string][]string{} // package → packages of ours that it imports
	for _, s := range sources(t) {
		if strings.HasSuffix(s.file, "_test.go") {
			continue
		}
		from := path.Join(module, path.Dir(s.file))
		for _, imported := range s.imports {
			if strings.HasPrefix(imported, module+"/") {
				graph[from] = append(graph[from], imported)
			}
		}
	}
	const (
		client    = module + "/pve"
		backend   = module + "/internal/proxmox"
		simulator = module + "/sim"
	)
	tests := []struct {
		name   string
		from   string
		beyond []string
	}{
		{"the simulator shares nothing with the client that it tests", module + "/sim/", []string{client, backend}},
		{"the command line gets its backend from main", module + "/internal/cli", []string{client, backend, simulator}},
		{"the engine gets its backends from its caller", module + "/internal/engine", []string{client, backend, simulator}},
		{"placing is independent of the hypervisor", module + "/internal/place", []string{client, backend, simulator}},
		{"planning is independent of the hypervisor", module + "/internal/planner", []string{client, backend, simulator}},
		{"the client imports nothing of ours", module + "/pve", []string{module + "/"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for from := range graph {
				if from != test.from && !strings.HasPrefix(from, strings.TrimSuffix(test.from, "/")+"/") {
					continue
				}
				for reached, by := range reach(graph, from) {
					for _, forbidden := range test.beyond {
						if reached == forbidden || strings.HasPrefix(reached, strings.TrimSuffix(forbidden, "/")+"/") {
							t.Errorf("%s imports %s indirectly, through %s", from, reached, by)
						}
					}
				}
			}
		})
	}
}

// reach returns the packages that a package imports directly or indirectly, each with a
// package that imports it.
func reach(graph map[string][]string, from string) map[string]string {
	reached := map[string]string{}
	next := []string{from}
	for len(next) > 0 {
		here := next[0]
		next = next[1:]
		for _, imported := range graph[here] {
			if _, known := reached[imported]; !known {
				reached[imported] = here
				next = append(next, imported)
			}
		}
	}
	return reached
}

func TestEveryImportRuleHasAReasonAndRefuses(t *testing.T) {
	for name, rule := range importRules(t) {
		t.Run(name, func(t *testing.T) {
			for _, pattern := range rule.Files {
				if _, ok := folderOf(pattern); !ok && pattern != "!$test" {
					t.Errorf("pattern %q: this test reads ${config-path}/FOLDER/** and !$test only", pattern)
				}
			}
			for _, folder := range rule.folders() {
				if _, err := os.Stat(filepath.Join("..", folder)); err != nil {
					t.Errorf("the rule is about a folder that does not exist: %v", err)
				}
				if !rule.covers(folder + "/x.go") {
					t.Errorf("the rule does not cover %s/x.go", folder)
				}
			}
			for _, deny := range rule.Deny {
				if len(strings.Fields(deny.Desc)) < 3 {
					t.Errorf("%s is forbidden without a reason", deny.Pkg)
				}
				if rule.refuses(strings.TrimSuffix(deny.Pkg, "$")) == "" {
					t.Errorf("%s is forbidden, but importing it passes", deny.Pkg)
				}
			}
			for _, allowed := range rule.Allow {
				if allowed != "$gostd" && rule.refuses(allowed) != "" {
					t.Errorf("%s is allowed, but importing it does not pass", allowed)
				}
			}
			if rule.ListMode == "strict" && rule.refuses("example.org/other") == "" {
				t.Error("the rule is strict, but an unknown import passes")
			}
		})
	}
}
