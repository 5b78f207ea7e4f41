package hack

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// page is one Markdown file of the repository.
type page struct {
	file string // below the root, with slashes
	text string
}

func documents(t *testing.T) []page {
	t.Helper()
	var all []page
	root := os.DirFS("..")
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		files, err := fs.Glob(root, pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := fs.ReadFile(root, file)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, page{file, string(text)})
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d documents found", len(all))
	}
	return all
}

func (d page) without(blocks *regexp.Regexp) string { return blocks.ReplaceAllString(d.text, "") }

var (
	yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	codeBlock = regexp.MustCompile("(?ms)^```.*?^```$")
	codeSpan  = regexp.MustCompile("`[^`\n]*`")
	linkForm  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// besides are the documents that an example with only a pool refers to.
const besides = `
apiVersion: gpuworker.io/v1alpha1
kind: Hypervisor
metadata: {name: lab}
spec:
  proxmox:
    endpoint: https://pve1.example.org:8006
    credentials: {token: {env: PVE_TOKEN}}
---
apiVersion: gpuworker.io/v1alpha1
kind: KubeCluster
metadata: {name: rke2-lab}
spec: {server: "https://rke2.example.org:9345"}
`

func TestEveryDocumentInTheDocsIsValid(t *testing.T) {
	count := 0
	for _, d := range documents(t) {
		for _, match := range yamlBlock.FindAllStringSubmatch(d.text, -1) {
			if !strings.Contains(match[1], "apiVersion: gpuworker.io/") {
				continue // a part of a document
			}
			count++
			files := []document.File{{Name: d.file, Data: []byte(match[1])}}
			if !strings.Contains(match[1], "kind: Hypervisor") {
				files = append(files, document.File{Name: "beside it", Data: []byte(besides)})
			}
			_, warnings, err := document.Load(files...)
			if err != nil {
				t.Errorf("%s: an example does not load: %v\n%s", d.file, err, match[1])
			}
			if len(warnings) > 0 {
				t.Errorf("%s: an example has warnings: %v", d.file, warnings)
			}
		}
	}
	if count < 2 {
		t.Errorf("only %d examples found", count)
	}
}

func TestEveryWorldInTheDocsCanBeSimulated(t *testing.T) {
	count := 0
	for _, d := range documents(t) {
		for _, match := range yamlBlock.FindAllStringSubmatch(d.text, -1) {
			if !strings.HasPrefix(match[1], "version: ") {
				continue
			}
			count++
			world, err := pvesim.LoadWorld([]byte(match[1]))
			if err != nil {
				t.Errorf("%s: a world does not load: %v\n%s", d.file, err, match[1])
				continue
			}
			sim, err := pvesim.New(world)
			if err != nil {
				t.Errorf("%s: a world cannot be simulated: %v", d.file, err)
				continue
			}
			sim.Close()
		}
	}
	if count == 0 {
		t.Error("no world found")
	}
}

func TestEveryLinkHasATarget(t *testing.T) {
	all := documents(t)
	anchors := map[string][]string{}
	for _, d := range all {
		for _, h := range heading.FindAllStringSubmatch(d.without(codeBlock), -1) {
			anchors[d.file] = append(anchors[d.file], anchor(h[1]))
		}
	}
	for _, d := range all {
		prose := codeSpan.ReplaceAllString(d.without(codeBlock), "")
		for _, match := range linkForm.FindAllStringSubmatch(prose, -1) {
			link := match[1]
			if strings.Contains(link, "://") {
				continue
			}
			target, fragment, _ := strings.Cut(link, "#")
			file := d.file
			if target != "" {
				file = path.Join(path.Dir(d.file), target)
			}
			if _, err := os.Stat(filepath.Join("..", file)); err != nil {
				t.Errorf("%s links to %s: %v", d.file, link, err)
			}
			if fragment != "" && !slices.Contains(anchors[file], fragment) {
				t.Errorf("%s links to %s: no such heading, there are %v", d.file, link, anchors[file])
			}
		}
	}
}

// anchor returns the link fragment of a heading, as the common renderers make it.
func anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ' || r == '-':
			b.WriteByte('-')
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_':
			b.WriteRune(r)
		}
	}
	return b.String()
}

// The messages in bold code in docs/troubleshooting.md are exact messages of servers. The
// client must know each of them.
func TestTheClientKnowsTheMessagesInTroubleshooting(t *testing.T) {
	text, err := os.ReadFile("../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	// Messages whose kind does not come from their text: it comes from the HTTP status,
	// or (-1) from the log above the message.
	known := map[string]int{
		"start failed: QEMU exited with code 1":        -1,
		"command '/usr/bin/kvm …' failed: got timeout": -1,
		"No ticket":              401,
		"Authentication failed!": 401,
		"authentication failure": 401,
		"No route to host":       595,
		"Connection timed out":   596,
		"Method 'GET /nodes/pve1/hardware/pci' not implemented":                        501,
		"unable to remove VM 9101 - used in HA resources and purge parameter not set.": -1,
	}
	bold := regexp.MustCompile("\\*\\*`([^`]+)`\\*\\*").FindAllStringSubmatch(string(text), -1)
	if len(bold) < 30 {
		t.Errorf("only %d messages found", len(bold))
	}
	for _, match := range bold {
		status, special := known[match[1]]
		if !special {
			status = 500
		}
		kind := pve.Classify(max(status, 0), match[1])
		if kind == pve.Unknown || status >= 0 && kind == pve.TaskFailed {
			t.Errorf("the client makes %s of %q", kind, match[1])
		}
	}
}

// docs/safety.md names the tests that prove each promise. They must exist.
func TestTheTestsInSafetyExist(t *testing.T) {
	text, err := os.ReadFile("../docs/safety.md")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	form := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err = fs.WalkDir(os.DirFS(".."), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		source, err := os.ReadFile(filepath.Join("..", name))
		for _, match := range form.FindAllStringSubmatch(string(source), -1) {
			declared[path.Dir(name)+" "+match[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z0-9/]+) ((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 10 {
		t.Errorf("only %d tests are named", len(named))
	}
	for _, match := range named {
		if !declared[match[1]+" "+match[2]] {
			t.Errorf("docs/safety.md names %s in %s, but there is no such test", match[2], match[1])
		}
	}
}

// Every command in the docs must exist, with its flags. The generated reference lists
// them.
func TestTheCommandsInTheDocsExist(t *testing.T) {
	reference, err := os.ReadFile("../docs/reference/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	common, verbs, _ := strings.Cut(string(reference), "\n### ")
	flagForm := regexp.MustCompile("(?m)^\\| `(?:(-\\w), )?(--[\\w-]+)")
	flagsIn := func(text string) map[string]bool {
		flags := map[string]bool{"--help": true}
		for _, match := range flagForm.FindAllStringSubmatch(text, -1) {
			flags[match[1]], flags[match[2]] = true, true
		}
		return flags
	}
	everywhere := flagsIn(common)
	flags := map[string]map[string]bool{}
	for _, section := range strings.Split(verbs, "\n### ") {
		title, rest, _ := strings.Cut(section, "\n")
		flags[strings.TrimPrefix(title, "gpuworker ")] = flagsIn(rest)
	}
	typed := regexp.MustCompile("(?m)(?:`|^|\\$ )gpuworker +([a-z]+)([^`#\n]*)")
	count := 0
	for _, d := range documents(t) {
		lines := strings.ReplaceAll(strings.Join(commandLines(d), "\n"), "; ", "\n") // several commands in a line
		for _, match := range typed.FindAllStringSubmatch(lines, -1) {
			count++
			verb := match[1]
			if flags[verb] == nil {
				t.Errorf("%s: there is no command %q (in %q)", d.file, verb, match[0])
				continue
			}
			for _, word := range strings.Fields(match[2]) {
				flag, _, _ := strings.Cut(word, "=")
				if strings.HasPrefix(flag, "-") && !flags[verb][flag] && !everywhere[flag] {
					t.Errorf("%s: gpuworker %s has no flag %s", d.file, verb, flag)
				}
			}
		}
	}
	if count < 40 {
		t.Errorf("only %d commands found", count)
	}
}

// commandLines returns the parts of a page that a reader may type: code spans and the
// lines of shell blocks. Line breaks in code spans become spaces.
func commandLines(d page) []string {
	var lines []string
	for _, block := range regexp.MustCompile("(?ms)^```(?:sh|console)?\n(.*?)^```$").FindAllStringSubmatch(d.text, -1) {
		lines = append(lines, strings.Split(block[1], "\n")...)
	}
	for _, span := range regexp.MustCompile("`[^`]+`").FindAllString(d.without(codeBlock), -1) {
		lines = append(lines, strings.ReplaceAll(span, "\n", " "))
	}
	return lines
}

// TestEachRefusalOfBindIsInTheTroubleshooting compares the host tool's reasons with the
// section about them.
func TestEachRefusalOfBindIsInTheTroubleshooting(t *testing.T) {
	files, err := filepath.Glob("../internal/host/bind/*.go")
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]bool{}
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(`Reason\{+"([A-Z-]+)"`).FindAllStringSubmatch(string(code), -1) {
			in[m[1]] = true
		}
	}
	text, err := os.ReadFile("../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## gpuworker-host refuses to bind a card")
	told := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^### ([A-Z-]+(?:, [A-Z-]+)*)$`).FindAllStringSubmatch(section, -1) {
		for _, id := range strings.Split(m[1], ", ") {
			told[id] = true
		}
	}
	if len(in) < 15 || !maps.Equal(in, told) {
		t.Errorf("gpuworker-host bind refuses for %v\ndocs/troubleshooting.md has %v", slices.Sorted(maps.Keys(in)), slices.Sorted(maps.Keys(told)))
	}
}

// TestTheMessagesOfTerraformInTheTroubleshooting compares the messages in bold with the
// code. "…" is for what differs.
func TestTheMessagesOfTerraformInTheTroubleshooting(t *testing.T) {
	code := ""
	for _, pattern := range []string{"../terraform/provider/internal/*/*.go", "../api/v1alpha1/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files (%v)", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(file, "_test.go") {
				code += string(text)
			}
		}
	}
	text, err := os.ReadFile("../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Terraform\n")
	section, _, _ = strings.Cut(section, "\n## ")
	messages := regexp.MustCompile(`\*\*([^*]+)\*\*`).FindAllStringSubmatch(section, -1)
	if len(messages) < 20 {
		t.Errorf("only %d messages found", len(messages))
	}
	for _, message := range messages {
		for _, part := range strings.Split(message[1], "…") {
			if !strings.Contains(code, strings.Trim(part, ",")) {
				t.Errorf("no message of the provider has %q, of %q", part, message[1])
			}
		}
	}
}

// TestTheMessagesOfTheGuestInTheTroubleshooting compares the messages in bold with the
// texts of the guest program and of its findings.
func TestTheMessagesOfTheGuestInTheTroubleshooting(t *testing.T) {
	code := ""
	for _, pattern := range []string{"../internal/guest/*/*.go", "../internal/finding/kinds_guest.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files (%v)", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(file, "_test.go") {
				code += string(text)
			}
		}
	}
	text, err := os.ReadFile("../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## In the guest\n")
	section, _, _ = strings.Cut(section, "\n## ")
	messages := regexp.MustCompile(`(?m)^\*\*([^*]+)\*\*`).FindAllStringSubmatch(section, -1)
	if len(messages) < 10 {
		t.Errorf("only %d messages found", len(messages))
	}
	for _, message := range messages {
		if words := strings.Replace(message[1], "the machine-id is", " is", 1); !strings.Contains(code, words) {
			t.Errorf("the guest program has no message %q", message[1])
		}
	}
}
