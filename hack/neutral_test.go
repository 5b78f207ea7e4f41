package hack

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// neutral are the packages that work with any hypervisor. Their identifiers and strings
// must not contain a word of one hypervisor; a backend passes texts with such words in
// the snapshot (inventory.Advice, Snapshot.Setup). Comments, tests and the packages below
// these are not checked.
var neutral = []string{"place", "plan", "planner", "apply", "status", "check", "engine", "inventory", "hypervisor"}

// foreign are the words of single hypervisors.
var foreign = []string{"proxmox", "pve", "vmid", "vmbr", "hostpci", "qm", "pvesh", "pvesm", "pveum", "pvenode", "audit", "intel_iommu", "vsphere", "govc"}

// allowedWords are the exceptions: identifiers and strings with such a word, each with
// its file and the reason.
var allowedWords = []allowedWord{
	{"internal/inventory/record.go", "vmid", "the key in records on hypervisors, which outlive programs"},
}

type allowedWord struct{ file, text, why string }

func TestNeutralPackagesKnowNoWordOfOneHypervisor(t *testing.T) {
	used := map[int]bool{}
	for _, name := range neutral {
		files, err := filepath.Glob(filepath.Join("..", "internal", name, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("internal/%s: no files (%v)", name, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, s := range identifiersAndStrings(t, file) {
				word := foreignWord(s.text)
				if word == "" {
					continue
				}
				at := slices.IndexFunc(allowedWords, func(a allowedWord) bool {
					return filepath.ToSlash(file) == "../"+a.file && a.text == s.text
				})
				if at < 0 {
					t.Errorf("%s: %q has %q, a word of one hypervisor: say it in words that fit all, and let the backend say the rest (inventory.Advice)", s.where, s.text, word)
				}
				used[at] = true
			}
		}
	}
	for i, a := range allowedWords {
		if !used[i] {
			t.Errorf("%s has no %q any more: remove the exception", a.file, a.text)
		}
	}
}

// text is an identifier or a string of a Go file.
type text struct {
	where token.Position
	text  string
}

// identifiersAndStrings returns all identifiers and strings of a file.
func identifiersAndStrings(t *testing.T, file string) []text {
	t.Helper()
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var all []text
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			all = append(all, text{files.Position(n.Pos()), n.Name})
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				value, err := strconv.Unquote(n.Value)
				if err != nil {
					t.Fatalf("%s: %v", files.Position(n.Pos()), err)
				}
				all = append(all, text{files.Position(n.Pos()), value})
			}
		}
		return true
	})
	return all
}

// foreignWord returns the first word of one hypervisor in a text, "" for none. A word
// begins and ends at a non-letter or at a capital in camelCase: nextVMID, VMIDRange,
// vm_vmid and vmids contain one.
func foreignWord(text string) string {
	runes := []rune(text)
	for from := range runes {
		if !begins(runes, from) {
			continue
		}
		for _, word := range foreign {
			to := from + len(word)
			if to <= len(runes) && strings.EqualFold(string(runes[from:to]), word) && ends(runes, to) {
				return word
			}
		}
	}
	return ""
}

func begins(text []rune, at int) bool {
	if at == 0 || !unicode.IsLetter(text[at-1]) {
		return true
	}
	hump := unicode.IsLower(text[at-1]) || at+1 < len(text) && unicode.IsLower(text[at+1])
	return unicode.IsUpper(text[at]) && hump
}

func ends(text []rune, at int) bool {
	if at < len(text) && text[at] == 's' {
		at++
	}
	return at == len(text) || !unicode.IsLetter(text[at]) || unicode.IsUpper(text[at])
}

func TestWordsOfOneHypervisorAreFoundInIdentifiersAndStrings(t *testing.T) {
	for _, text := range []string{
		"VMID", "vmid", "VMIDs", "nextVMID", "VMIDRange", "claimed_vmid", "spec.template.vmid", `json:"vmid,omitempty"`, "VMID-RANGE-FULL",
		"Proxmox", "h.Spec.Proxmox", "proxmoxBackend", "Proxmox VE 9", "as root@pve", "PVEError", "vmbr0", "hostpci0", "qm set 204 --delete", "run: qm", "pvesh get /", "pvesm status", "VSphere", "govc vm.info",
	} {
		if foreignWord(text) == "" {
			t.Errorf("%q passes", text)
		}
	}
	for _, text := range []string{"", "VM", "vmIdentity", "VMIDentity", "approve", "improved", "pverify", "vmidrange", "aqm", "hostname", "vm.ID", "IDRange"} {
		if word := foreignWord(text); word != "" {
			t.Errorf("%q is said to have %q", text, word)
		}
	}
}

func TestEveryExceptionForAWordOfOneHypervisorHasAReason(t *testing.T) {
	for _, a := range allowedWords {
		if len(strings.Fields(a.why)) < 4 {
			t.Errorf("%s, %q: without a reason", a.file, a.text)
		}
	}
}
