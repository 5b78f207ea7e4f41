package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gpuworker/gpuworker/internal/fault"
	hostcheck "github.com/gpuworker/gpuworker/internal/host/check"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/term"
)

// nasty is a captured host whose texts have escape sequences.
func nasty(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(fixture(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := hosttree.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	const paints = "\x1b[2J\x1b]0;x\x07\u009b31m\u202e\r"
	const card = "sys/bus/pci/devices/0000:01:00.0"
	for _, name := range []string{
		"proc/sys/kernel/hostname", "proc/sys/kernel/osrelease", "etc/os-release", "proc/cmdline", "etc/pve/mapping/pci.cfg", "proc/77/comm",
		card + "/reset_method", card + "/power_state", card + "/resource", card + "/driver_override", card + "/max_link_speed", card + "/current_link_speed",
	} {
		old, _ := tree.ReadFile(name)
		tree.WriteFile(name, append([]byte(paints), old...))
	}
	tree.Remove(card + "/driver")
	tree.Symlink(card+"/driver", "../../../../bus/pci/drivers/x"+paints)
	tree.WriteFile("usr/share/misc/pci.ids", []byte("10de  N"+paints+"\n\t1eb8  T"+paints+"\n"))
	tree.Symlink("proc/77/fd/9", "/dev/nvidia0")
	tree.WriteFile("var/lib/gpuworker-host/journal/0000:01:00.json", []byte(paints))
	file := filepath.Join(t.TempDir(), "nasty.txt")
	if err := os.WriteFile(file, tree.Format(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTextsOfAHostDoNotControlTheTerminal(t *testing.T) {
	host := nasty(t)
	for _, args := range [][]string{
		{"list"}, {"list", "-o", "json"}, {"check", "--verbose"}, {"check", "-o", "json"}, {"bind", "0000:01:00.0"}, {"unbind", "0000:01:00.0"},
		{"bind", "0000:02:00.0"}, {"assert", "0000:01:00.0", "--bound"}, {"metrics", "-o", "-"}, {"explain", "\x1b[2J"},
	} {
		_, out, complaint := run(t, "", append(args, "--root", host)...)
		for _, text := range []string{out, complaint} {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
				t.Errorf("%v prints %q", args, text)
			}
		}
		if out+complaint == "" {
			t.Errorf("%v prints nothing", args)
		}
	}
}

func TestAReportHasTheTimeOfTheCheck(t *testing.T) {
	taken := func(root string) string {
		var out bytes.Buffer
		tool := &Tool{Out: &out, Err: &out, Now: func() time.Time { return time.Date(2026, 11, 22, 13, 0, 0, 1, time.FixedZone("CET", 3600)) }}
		tool.Main([]string{"check", "-o", "json", "--root", root})
		var report hostcheck.Report
		if err := json.Unmarshal(out.Bytes(), &report); err != nil {
			t.Fatal(err, out.String())
		}
		return report.Taken
	}
	captured := func(date string) string {
		file := filepath.Join(t.TempDir(), "host.txt")
		if err := os.WriteFile(file, []byte("-- captured/date --\n"+date+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for name, test := range map[string]struct{ root, want string }{
		"a tree on disk is looked at now":                   {t.TempDir(), "2026-11-22T12:00:00Z"},
		"a captured host was looked at when it was":         {captured("2025-01-02T03:04:05Z"), "2025-01-02T03:04:05Z"},
		"of a captured host with an odd date nobody knows":  {captured("yesterday"), ""},
		"of a captured host without a date nobody knows it": {fixture(t, ""), ""},
	} {
		if got := taken(test.root); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// evil is hostile text in a file: escape sequences in both forms, including those
// that the tool itself uses, characters that reverse the line or have no width, and
// a very long name.
const evil = "\x1b[8m\x1b[31mred\x1b[0m\x9b8m\u009b8m\x1b]0;x\x07\u202e\u2066\u200b\ufeff\u0301\u3164\U000e0041\x7f\r\t\b\x00\xff"

// ours are the escape sequences that the tool itself uses.
var ours = regexp.MustCompile("\x1b\\[(0|1|2|31|32|33|36)m")

// clean fails unless the output is safe for a terminal: no control character except
// the line feed, no character that reverses the line or has no width, no line over
// 4 KiB.
func clean(t *testing.T, what, output string) {
	t.Helper()
	hostile := func(r rune) bool {
		return r != '\n' && (unicode.In(r, unicode.C, unicode.Zl, unicode.Zp, unicode.Mn, unicode.Me, unicode.Bidi_Control, unicode.Other_Default_Ignorable_Code_Point))
	}
	if !utf8.ValidString(output) || strings.ContainsFunc(output, hostile) {
		t.Errorf("%s prints %.4000q", what, output)
	}
	for line := range strings.Lines(output) {
		if len(line) > 4<<10 {
			t.Errorf("%s prints a line of %d bytes: %.200q", what, len(line), line)
		}
	}
}

// evilHost is a captured host with this text in all its files.
func evilHost(t *testing.T, text string) string {
	t.Helper()
	data, err := os.ReadFile(nasty(t))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := hosttree.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	const card = "sys/bus/pci/devices/0000:01:00.0"
	for _, name := range []string{
		"proc/sys/kernel/hostname", "etc/os-release", "proc/cmdline", "etc/pve/mapping/pci.cfg", "proc/77/comm", card + "/reset_method", card + "/power_state",
		card + "/resource", card + "/driver_override", card + "/max_link_speed", card + "/current_link_speed",
	} {
		old, _ := tree.ReadFile(name)
		tree.WriteFile(name, append([]byte(text), old...))
	}
	name := strings.NewReplacer("\n", " ", "/", " ", "\x00", " ").Replace(text)
	tree.Remove(card + "/driver")
	tree.Symlink(card+"/driver", "../../../../bus/pci/drivers/x"+name[:min(len(name), 2000)]) // the kernel has no longer ones
	tree.WriteFile("usr/share/misc/pci.ids", []byte("10de  N"+name+"\n\t1eb8  T"+name+"\n"))
	file := filepath.Join(t.TempDir(), "evil.txt")
	if err := os.WriteFile(file, tree.Format(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestNothingHostileReachesTheTerminal(t *testing.T) {
	for name, text := range map[string]string{"once": evil, "without end": strings.Repeat(evil+`<"\>`, 1500)} {
		host := evilHost(t, text)
		for _, args := range [][]string{
			{"list"}, {"list", "-o", "json"}, {"check", "--verbose"}, {"check", "-o", "json"}, {"bind", "0000:01:00.0"}, {"bind", "0000:01:00.0", "-o", "json"},
			{"unbind", "0000:01:00.0"}, {"assert", "0000:01:00.0", "--bound"}, {"metrics", "-o", "-"}, {"explain", text[:min(len(text), 5000)]}, {text}, {"capture", "-o", "-"},
		} {
			var out, complaint bytes.Buffer
			tool := &Tool{Out: &out, Err: &complaint, Colour: true, Width: 100}
			code := tool.Main(append(slices.Clone(args), "--root", host))
			what := fmt.Sprintf("%s: %.30q", name, args)
			if code == fault.ExitInvalid && args[0] != "explain" && args[0] != text {
				t.Errorf("%s: exit %d: %.300s", what, code, complaint.String())
			}
			clean(t, what, ours.ReplaceAllString(out.String(), ""))
			clean(t, what, complaint.String())
			if args[len(args)-1] == "json" && !json.Valid(out.Bytes()) {
				t.Errorf("%s is no JSON", what)
			}
			if out.Len()+complaint.Len() == 0 {
				t.Errorf("%s prints nothing", what)
			}
			if strings.Contains(ours.ReplaceAllString(out.String(), "OURS"), "OURSred") || strings.Contains(complaint.String(), "\x1b") {
				t.Errorf("%s: a colour of the host's came through: %.1000q", what, out.String()+complaint.String())
			}
		}
	}
}

func TestJSONHasTheUnchangedText(t *testing.T) {
	var out bytes.Buffer
	tool := &Tool{Out: term.NewWriter(&out, nil)}
	value := map[string]string{"a": strings.ToValidUTF8(evil, "\ufffd"), "b": strings.Repeat(`"\`+"\u200b", 3000), "c": "x"}
	if err := tool.machine(value); err != nil {
		t.Fatal(err)
	}
	clean(t, "machine", out.String())
	var got map[string]string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got["a"] != value["a"] || got["c"] != "x" || !strings.HasPrefix(value["b"], strings.TrimSuffix(got["b"], "…")) || len(got["b"]) < 500 {
		t.Errorf("%v: %.300q", err, got)
	}
}
