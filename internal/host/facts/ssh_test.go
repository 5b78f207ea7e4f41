package facts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// asked returns the facts of a host when ssh is this shell script.
func asked(t *testing.T, script string) *inventory.Facts {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	s, err := Open(Options{SSH: []string{"root@{host}"}, Now: atNoon})
	if err != nil {
		t.Fatal(err)
	}
	return s.Facts(t.Context(), hosts("pve1"))["pve1"]
}

func TestTheAnswerOfAHostIsBoundedAndClean(t *testing.T) {
	nasty := `{"version":1,"host":"pve1","taken":"2026-11-22T12:00:00Z","findings":[{"id":"HOST-X\u001b[31m","verdict":"fail","layer":"kernel","reason":"a\nb\u0007\u009b2J\u202ec","fix":"\u001b]0;x\u0007"}],` +
		`"cards":[{"bdf":"0000:03:00.0","id":"10de:1eb8","driver":"nou\u001bveau","findings":[{"verdict":"well","reason":"x"}]}]}`
	for _, tt := range []struct {
		name, script string
		missing      string // "" when there are facts
	}{
		{"it never ends", "yes", "longer than 16 MiB"},
		{"it complains without end, and ends", "yes complaint | head -c 3000000 >&2; exit 255", "complaint"},
		{"its complaint paints the terminal", `printf 'Permission \033[31mdenied\r\n' >&2; exit 255`, "Permission [31mdenied"},
		{"another host with a name that paints answers", `printf '{"version":1,"host":"\\u001b[2J"}'`, "another host answered: [2J"},
		{"its findings paint the terminal", "cat <<'END'\n" + nasty + "\nEND\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			facts := asked(t, tt.script)
			if facts == nil || (facts.Missing == "") != (tt.missing == "") || !strings.Contains(facts.Missing, tt.missing) {
				t.Fatalf("%+v", facts)
			}
			for _, text := range texts(facts) {
				if !shown(text) {
					t.Errorf("%q would be shown", text)
				}
			}
			if tt.missing == "" && (len(facts.Findings) != 1 || facts.Findings[0].Reason != "a b 2J c" || facts.Cards[0].Findings[0].Verdict != "unknown") {
				t.Errorf("%+v", facts)
			}
		})
	}
}

// An ssh that shares its connection leaves a process behind, which may keep the
// output open.
func TestAnAnswerIsUsedAlthoughAProcessStaysBehind(t *testing.T) {
	facts := asked(t, `printf '{"version":1,"host":"pve1","taken":"2026-11-22T12:00:00Z"}'; sleep 5 &`)
	if facts == nil || facts.Missing != "" || facts.Old != "" {
		t.Errorf("%+v", facts)
	}
}

func TestAFileOfFactsIsBounded(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pve1.json")
	if err := os.WriteFile(name, []byte(`{"version":1,"host":"`+strings.Repeat("x", maxAnswer)+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readDir(filepath.Dir(name)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "longer than 16 MiB") {
		t.Errorf("%v", err)
	}
}

// Secrets in our environment must not reach ssh, a proxy command or the host.
func TestSSHGetsNoSecretOfOurs(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "environment")
	for _, name := range []string{"GPUWORKER_TOKEN", "PROXMOX_VE_API_TOKEN", "PM_API_TOKEN_SECRET", "PVE_PASSWORD", "RANCHER_TOKEN", "LCSECRET", "SSH_SECRET"} {
		t.Setenv(name, "canary")
	}
	for name, value := range map[string]string{"SSH_AUTH_SOCK": "/run/agent", "LC_ALL": "C", "LANG": "C", "HOME": "/home/ops", "TERM": "dumb", "DISPLAY": ":7"} {
		t.Setenv(name, value)
	}
	asked(t, "env > "+seen+"; exit 255")
	data, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	text := "\n" + string(data)
	for line := range strings.Lines(text) {
		if strings.Contains(line, "canary") {
			t.Errorf("ssh gets %s", line)
		}
	}
	for _, kept := range []string{"SSH_AUTH_SOCK=/run/agent", "LC_ALL=C", "LANG=C", "HOME=/home/ops", "TERM=dumb", "DISPLAY=:7"} {
		if !strings.Contains(text, "\n"+kept+"\n") {
			t.Errorf("ssh does not get %s", kept)
		}
	}
}
