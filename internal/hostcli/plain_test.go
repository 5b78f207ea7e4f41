package hostcli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gpuworker/gpuworker/internal/hostcheck"
	"github.com/gpuworker/gpuworker/internal/hosttree"
)

// nasty is a captured host whose texts would paint the terminal.
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

func TestTextsOfAHostDoNotPaintTheTerminal(t *testing.T) {
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

func TestAReportSaysWhenTheHostWasLookedAt(t *testing.T) {
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
