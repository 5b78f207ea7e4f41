package app

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/gpuworker/gpuworker/examples"
	"github.com/gpuworker/gpuworker/internal/thorough"
)

// eachText calls do for each text in a JSON value, with a copy of the value in which this
// text is replaced.
func eachText(value any, text string, do func(changed []byte)) {
	whole := value
	var walk func(value any, set func(any))
	walk = func(value any, set func(any)) {
		switch v := value.(type) {
		case map[string]any:
			for key, member := range v {
				walk(member, func(x any) { v[key] = x })
			}
		case []any:
			for i := range v {
				walk(v[i], func(x any) { v[i] = x })
			}
		case string:
			set(text)
			changed, err := json.Marshal(whole)
			if err != nil {
				panic(err)
			}
			set(v)
			do(changed)
		}
	}
	walk(value, func(any) {})
}

const honestFacts = `{"version": 1, "tool": "v0.1.0", "taken": %q, "host": "pve1", "now": "fail", "afterReboot": "fail",
  "system": {"name": "Debian", "kernel": "6.14.8-2-pve", "bootLoader": "grub", "root": true},
  "findings": [{"id": "HOST-IOMMU-OFF", "verdict": "fail", "afterReboot": "fail", "layer": "firmware", "where": {}, "reason": "it is off", "fix": "switch it on", "then": "it is on", "evidence": [{"file": "/proc/cmdline", "says": "quiet"}]}],
  "notEvaluated": ["kernel"],
  "cards": [{"bdf": "0000:03:00.0", "id": "10de:1eb8", "name": "Tesla T4", "driver": "nouveau", "group": 14, "now": "fail", "afterReboot": "fail",
    "findings": [{"id": "HOST-DRIVER", "verdict": "fail", "afterReboot": "fail", "layer": "owner", "where": {}, "reason": "nouveau has it", "fix": "bind it"}], "notEvaluated": ["window"]}]}`

func TestTextsOfHostFactsAreHarmlessEverywhere(t *testing.T) {
	bubble(t, honest, func(l *lab) {
		folder := l.t.TempDir()
		l.more = []string{"--host-facts", folder}
		for n, text := range hostileTexts {
			var facts any
			if err := json.Unmarshal([]byte(fmt.Sprintf(honestFacts, time.Now().UTC().Format(time.RFC3339))), &facts); err != nil {
				l.t.Fatal(err)
			}
			turn := n
			eachText(facts, text, func(changed []byte) {
				if err := os.WriteFile(filepath.Join(folder, "pve1.json"), changed, 0o600); err != nil {
					l.t.Fatal(err)
				}
				if turn++; turn%thorough.Every > 0 {
					return
				}
				l.judge(l.run(turn%2 == 0, "plan"))
				l.judge(l.run(turn%2 == 1, "check", "--verbose"))
				l.judgeBoth([]string{"check"}, true)
			})
		}
	})
}

func TestTextsOfDocumentsAreHarmlessEverywhere(t *testing.T) {
	var documents []any
	for _, document := range strings.Split(string(examples.Homelab), "\n---\n") {
		var value any
		if err := yaml.Unmarshal([]byte(document), &value); err != nil {
			t.Fatal(err)
		}
		documents = append(documents, value)
	}
	bubble(t, honest, func(l *lab) {
		for n, text := range hostileTexts {
			for i, document := range documents {
				turn := n + i
				eachText(document, text, func(changed []byte) {
					whole := [][]byte{}
					for j, other := range documents {
						data, err := json.Marshal(other)
						if err != nil {
							l.t.Fatal(err)
						}
						if j == i {
							data = changed
						}
						whole = append(whole, data)
					}
					file := strings.ReplaceAll(fmt.Sprintf("%s\n---\n%s\n---\n%s\n---\n%s", whole[0], whole[1], whole[2], whole[3]), "\x7f", `\u007f`)
					if err := os.WriteFile(l.document, []byte(file), 0o600); err != nil {
						l.t.Fatal(err)
					}
					if turn++; turn%thorough.Every > 0 {
						return
					}
					l.judge(l.run(turn%2 == 0, "plan"))
					l.judge(l.run(turn%2 == 0, "role"))
					l.judgeBoth([]string{"status"}, true)
				})
			}
		}
	})
}

// Suggested commands repeat the names of files.
func TestNamesOfFilesAreHarmlessEverywhere(t *testing.T) {
	bubble(t, honest, func(l *lab) {
		folder := l.t.TempDir()
		for _, name := range []string{"a ; touch mark.yaml", "it's $(id) `id`.yaml", "\x1b[31m\x9b\u202e.yaml", "a\n---\nkind: Evil\n.yaml", "-f"} {
			l.document = filepath.Join(folder, name)
			l.judge(l.run(false, "status")) // it is not there yet
			if err := os.WriteFile(l.document, examples.Homelab, 0o600); err != nil {
				l.t.Fatal(err)
			}
			for _, command := range [][]string{{"delete", "workers-1", "--yes"}, {"status"}, {"assert"}, {"apply", "--yes"}, {"plan", "-o", "json"}} {
				l.judge(l.run(false, command...))
			}
			if err := os.WriteFile(l.document, []byte("kind: Odd\n"), 0o600); err != nil {
				l.t.Fatal(err)
			}
			l.judge(l.run(false, "status"))
		}
	})
}

// A text of a megabyte is not printed completely, and neither are thousands of texts. With
// the race detector the test uses a seventh of that.
func TestMegabytesAreNotPrinted(t *testing.T) {
	text := strings.Repeat("x", 1<<19/thorough.Every) + strings.Repeat("\x1b\n\u202e;", 1<<16/thorough.Every)
	for at, look := range map[place]string{
		{"GET /nodes/*/qemu/*/pending", ".data[name].value"}:   "gpus",
		{"GET /nodes/*/hardware/pci", ".data[].device_name"}:   "export",
		{"GET /nodes/*/storage", ".data[].storage"}:            "hosts",
		{"GET /cluster/mapping/pci", ".data[].description"}:    "plan",
		{"GET /cluster/resources", ".data[].name"}:             "status",
		{"GET /nodes/*/qemu/*/status/current", ".data.status"}: "check",
	} {
		bubble(t, at.String(), func(l *lab) {
			l.liar.lie(at, text, 1)
			l.judge(l.run(false, look))
			l.judge(l.run(true, look))
			l.judgeBoth([]string{look}, look != "export")
		})
	}
}
