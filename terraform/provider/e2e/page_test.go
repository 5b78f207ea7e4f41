package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/golden"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestThePageAboutTerraformIsTrue follows docs/terraform.md as a reader does, with the
// configurations of the page, and compares each output that the page shows with what
// terraform prints. With -update it writes the outputs that differ.
func TestThePageAboutTerraformIsTrue(t *testing.T) {
	t.Parallel()
	l := testlab.Start(t)
	w := workspaceIn(t, t.TempDir(), login(l))
	p := readPage(t)
	main := p.block("main.tf")
	w.write(main)
	w.start()

	made, _, _ := strings.Cut(w.do("plan", "-no-color", "-out=gpu.tfplan"), "\n─")
	p.shows("plan", typed("plan -out=gpu.tfplan", made))
	p.shows("apply", typed("apply gpu.tfplan", withoutWarnings(w.do("apply", "-no-color", "gpu.tfplan")))+typed("plan", w.do("plan", "-no-color")))

	w.write(main + "\n" + p.block("refused.tf"))
	p.shows("refusals", messages("Error", w.planOfOneCardTwice("gpu-1")))
	w.write(strings.Replace(main, "16Gi", "32Gi", 1))
	p.shows("restart", messages("Error", w.ends(1, "plan", "-no-color")))
	w.write(main)
	p.shows("replace", messages("Error", w.ends(1, "plan", "-no-color", "-replace=gpuworker_vm.gpu")))
	p.shows("destroy", messages("Error", w.ends(1, "destroy", "-no-color", "-auto-approve")))

	before, _, _ := strings.Cut(main, `resource "gpuworker_vm"`)
	w.write(before + p.block("removed.tf"))
	w.do("apply", "-no-color", "-auto-approve")
	w.write(main)
	p.shows("exists", messages("Warning: Worker gpu-1 exists", w.do("plan", "-no-color")))
	w.apply()

	allow := strings.Replace(p.block("allow.tf"), "# …", "\n"+regexp.MustCompile(`(?s)gpuworker_vm" "gpu" {\n(.*?)\n}`).FindStringSubmatch(main)[1], 1)
	w.write(before + uuidForm.ReplaceAllString(allow, l.UUID("gpu-1")))
	allowed := w.do("apply", "-no-color", "-auto-approve")
	destroyed := w.do("destroy", "-no-color", "-auto-approve")
	p.shows("allowed", typed("apply", pick(allowed, `(?ms)^  # .*?^    }\n`)+"\n"+pick(allowed, `(?m)^Apply complete.*`))+
		typed("destroy", pick(destroyed, `(?m)^gpuworker_vm.gpu: Destr.*\n`)+"\n"+pick(destroyed, `(?m)^Destroy complete.*`)))
	p.end()
}

// TestTheProvidersSideBySide compares the numbers of lines that docs/terraform.md gives
// with the configurations that it shows, and their form with that of terraform fmt.
func TestTheProvidersSideBySide(t *testing.T) {
	t.Parallel()
	p := readPage(t)
	row := "| Lines of HCL, without comments |"
	w := workspaceIn(t, t.TempDir(), nil)
	for _, name := range []string{"gpuworker", "bpg", "Telmate"} {
		block := p.block(name)
		w.write(block)
		if out, code := w.run("fmt", "-check", "-diff"); code != 0 {
			t.Errorf("the configuration for %s has another form:\n%s", name, out)
		}
		row += fmt.Sprintf(" %d |", len(regexp.MustCompile(`(?m)^ *[^ #\n]`).FindAllString(block, -1)))
	}
	if !strings.Contains(p.text, row+"\n") {
		t.Errorf("docs/terraform.md does not say: %s", row)
	}
	if !strings.Contains(p.block("main.tf"), p.block("gpuworker")[strings.Index(p.block("gpuworker"), "resource"):]) {
		t.Error("the configuration for gpuworker is not the one that the page plans and applies")
	}
}

// planOfOneCardTwice plans two resources with one card. Terraform plans resources in any
// order, and the error is at the second one: the plan is repeated until the first one is
// the worker with this name.
func (w *workspace) planOfOneCardTwice(first string) string {
	w.t.Helper()
	for range 20 {
		if out := w.ends(1, "plan", "-no-color"); strings.Contains(flat(out), "see "+first) {
			return out
		}
	}
	w.t.Fatalf("no plan in twenty says that %s has the card already", first)
	return ""
}

// write writes the configuration.
func (w *workspace) write(text string) {
	w.t.Helper()
	must(w.t, os.WriteFile(filepath.Join(w.dir, "main.tf"), []byte(text), 0o600))
}

// page is a page of the documentation. A comment `<!-- NAME -->` above a block gives it
// its name.
type page struct {
	t          *testing.T
	file, text string
	compared   map[string]bool
}

func readPage(t *testing.T) *page {
	t.Helper()
	file := filepath.Join(root, "docs", "terraform.md")
	return &page{t: t, file: file, text: string(read(t, file)), compared: map[string]bool{}}
}

// block returns the block with this name.
func (p *page) block(name string) string {
	p.t.Helper()
	found := regexp.MustCompile("(?s)<!-- " + regexp.QuoteMeta(name) + " -->\n```\\w+\n(.*?)```\n").FindStringSubmatch(p.text)
	if found == nil {
		p.t.Fatalf("%s has no block %s", p.file, name)
	}
	return found[1]
}

// shows requires that the block shows this output.
func (p *page) shows(name, output string) {
	p.t.Helper()
	p.compared[name] = true
	shown := p.block(name)
	switch diff := cmp.Diff(comparable(shown), comparable(output)); {
	case diff == "":
	case *golden.Update:
		begin := "<!-- " + name + " -->\n```console\n"
		p.text = strings.Replace(p.text, begin+shown, begin+uuidForm.ReplaceAllString(output, exampleUUID), 1)
	default:
		p.t.Errorf("docs/terraform.md, block %s, is not what terraform prints (- page, + terraform); go test ./e2e -run Page -update (with TF_ACC_TERRAFORM_PATH, the path of terraform) writes it:\n%s", name, diff)
	}
}

// newer begins the names of outputs that only Terraform 1.14 and newer print.
const newer = "1.14: "

// end requires that all outputs of the page were compared, but those of newer versions, and
// writes the page.
func (p *page) end() {
	p.t.Helper()
	if shown := strings.Count(p.text, "```console\n") - strings.Count(p.text, "<!-- "+newer); shown != len(p.compared) {
		p.t.Errorf("docs/terraform.md has %d outputs, %d were compared", shown, len(p.compared))
	}
	if *golden.Update {
		must(p.t, os.WriteFile(p.file, []byte(p.text), 0o644))
	}
}

const exampleUUID = "7b07859c-4cf1-4131-9797-a4a818631da8"

var (
	uuidForm  = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	ipForm    = regexp.MustCompile(`\b\d+\.\d+\.\d+\.\d+\b`)
	stillForm = regexp.MustCompile(`(?m)^.*: Still \w+\.\.\. .*\n`)
	afterForm = regexp.MustCompile(`complete after (\d+m)?\d+s`)
)

// comparable is an output without what differs from run to run: UUIDs, addresses, times,
// where lines are broken, and the name of the program. An empty line begins a new paragraph.
func comparable(output string) []string {
	output = strings.ReplaceAll(output, "OpenTofu", "Terraform")
	output = uuidForm.ReplaceAllString(output, exampleUUID)
	output = ipForm.ReplaceAllString(output, "ADDRESS")
	output = afterForm.ReplaceAllString(stillForm.ReplaceAllString(output, ""), "complete")
	var paragraphs []string
	for _, one := range strings.Split(output, "\n\n") {
		paragraphs = append(paragraphs, strings.Join(strings.Fields(one), " "))
	}
	return paragraphs
}

// typed is a command and its output.
func typed(command, output string) string {
	return "$ terraform " + command + "\n" + strings.Trim(output, "\n") + "\n"
}

// messages returns the errors or warnings of an output, sorted: Terraform prints them in
// any order.
func messages(begin, output string) string {
	var all []string
	starts := regexp.MustCompile(`(?m)^(?:Error: |Warning: |─|\z)`).FindAllStringIndex(output, -1)
	for i, start := range starts[:len(starts)-1] {
		if one := output[start[0]:starts[i+1][0]]; strings.HasPrefix(one, begin) {
			all = append(all, strings.TrimSpace(one)+"\n")
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// withoutWarnings is the output of an apply without its warnings.
func withoutWarnings(output string) string {
	return regexp.MustCompile(`(?ms)^Warning: .*?^(Apply complete)`).ReplaceAllString(output, "$1")
}

// pick returns the parts of an output that match.
func pick(output, form string) string {
	return strings.Join(regexp.MustCompile(form).FindAllString(output, -1), "")
}
