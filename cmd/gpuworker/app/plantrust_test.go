package app

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gpuworker/gpuworker/internal/thorough"
)

// The Hypervisors of a plan say where logins are sent. Without -f, the file itself must be
// trusted.

// otherHands are ways in which others may have written a plan file. Each one prepares the
// file and returns its name.
func otherHands() map[string]func(l *oldLab, file string) string {
	change := func(do func(file string) error) func(*oldLab, string) string {
		return func(l *oldLab, file string) string {
			if err := do(file); err != nil {
				l.t.Skip(err)
			}
			return file
		}
	}
	return map[string]func(l *oldLab, file string) string{
		"its group may write": change(func(file string) error { return os.Chmod(file, 0o620) }),
		"all may write":       change(func(file string) error { return os.Chmod(file, 0o602) }),
		"it is somebody else's": change(func(file string) error {
			return os.Chown(file, os.Geteuid()+1, -1) // only root may
		}),
		"a symbolic link to such a file": func(l *oldLab, file string) string {
			link := file + ".link"
			if err := os.Chmod(file, 0o666); err != nil {
				l.t.Fatal(err)
			}
			if err := os.Symlink(file, link); err != nil {
				l.t.Fatal(err)
			}
			return link
		},
		"a FIFO": func(l *oldLab, file string) string {
			data, err := os.ReadFile(file)
			if err != nil {
				l.t.Fatal(err)
			}
			fifo := file + ".fifo"
			if err := syscall.Mkfifo(fifo, 0o600); err != nil && !os.IsExist(err) {
				l.t.Skip(err)
			}
			go func() { _ = os.WriteFile(fifo, data, 0o600) }() // as another process does
			return fifo
		},
		"standard input": func(l *oldLab, file string) string {
			data, err := os.ReadFile(file)
			if err != nil {
				l.t.Fatal(err)
			}
			l.in = bytes.NewReader(data)
			return "-"
		},
	}
}

func TestAPlanThatOthersMayWriteIsNotTrustedAlone(t *testing.T) {
	for name, prepare := range otherHands() {
		t.Run(name, func(t *testing.T) {
			inScene(t, planScenes()[0], "json", func(l *oldLab, file string) {
				counted := &asks{next: l.liar.next}
				l.liar.next = counted
				file = prepare(l, file)
				p := l.typed("apply --yes --plan " + file)
				if p.code != 3 || !strings.Contains(p.err, "others may write the file") || !strings.Contains(p.err, "with -f") || counted.count.Load() > 0 {
					t.Errorf("without -f: exit code %d after %d requests:\n%s%s", p.code, counted.count.Load(), p.out, p.err)
				}
				if name == "standard input" || name == "a FIFO" { // can be read once
					prepare(l, filepath.Join(filepath.Dir(l.document), "p.json"))
				}
				if p := l.typed("apply --yes --plan " + file + " -f " + l.document); p.code != 0 {
					t.Errorf("with -f: exit code %d:\n%s%s", p.code, p.out, p.err)
				}
			})
		})
	}
}

func TestAnOwnPlanIsTrustedThroughALinkAndAnyNarrowMode(t *testing.T) {
	inScene(t, planScenes()[0], "json", func(l *oldLab, file string) {
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(file, link); err != nil {
			t.Fatal(err)
		}
		for _, mode := range []os.FileMode{0o400, 0o600, 0o644, 0o755} {
			if err := os.Chmod(file, mode); err != nil {
				t.Fatal(err)
			}
			if p := l.typed("apply --dry-run --plan " + link); p.code != 0 {
				t.Errorf("mode %o: exit code %d:\n%s%s", mode, p.code, p.out, p.err)
			}
		}
	})
}

// With -f, the Hypervisors of the plan must be those of -f.
func TestAPlanForOtherLoginsIsRefusedWithDocuments(t *testing.T) {
	for _, e := range [][2]string{
		{"https://pve1:8006", "https://pve2:8006"},
		{"token: {env: PVE_TOKEN}", "token: {env: OTHER}"},
		{"token: {env: PVE_TOKEN}", "token: {file: token}"},
		{"credentials:", "tls: {insecure: true}\n    credentials:"},
		{"credentials:", "tls: {caFile: ca.pem}\n    credentials:"},
		{"vmids: {first: 9100", "vmids: {first: 9000"},
		{"https://rke2:9345", "https://other:9345"},
		{`server: "https://rke2:9345"`, `server: "https://rke2:9345", joinToken: {env: JOIN}`},
	} {
		inScene(t, planScenes()[0], "json", func(l *oldLab, file string) {
			counted := &asks{next: l.liar.next}
			l.liar.next = counted
			l.declare(e[0], e[1])
			p := l.typed("apply --yes --plan " + file + " -f " + l.document)
			if p.code != 3 || !strings.Contains(p.err, "are not those of -f") || counted.count.Load() > 0 {
				t.Errorf("%s: exit code %d after %d requests:\n%s%s", e[1], p.code, counted.count.Load(), p.out, p.err)
			}
			if p := l.typed("apply --dry-run --plan " + file); p.code != 0 {
				t.Errorf("%s: the plan alone: exit code %d:\n%s%s", e[1], p.code, p.out, p.err)
			}
		})
	}
}

// Other documents may differ from those of -f.
func TestAPlanNeedNotHaveThePoolsOfTheDocuments(t *testing.T) {
	inScene(t, planScenes()[0], "json", func(l *oldLab, file string) {
		l.declare("memory: 8Gi", "memory: 64Gi", "env: PVE_TOKEN", "env: \"PVE_TOKEN\"")
		if p := l.typed("apply --yes --plan " + file + " -f " + l.document); p.code != 0 {
			t.Fatalf("exit code %d:\n%s%s", p.code, p.out, p.err)
		}
		l.has("memory", "8192", "2048")
	})
}

// brokenPlans are files that are not valid plans.
func brokenPlans(plan []byte) map[string][]byte {
	deep := strings.Repeat(`{"plans":[`, 30_000)
	var none []byte
	return map[string][]byte{
		"empty": none, "null": []byte("null"), "a list": []byte("[]"), "an object": []byte("{}"), "spaces": []byte(" \n\t"),
		"cut off":                      plan[:len(plan)/2],
		"documents that are not valid": bytes.Replace(plan, []byte(`"memory": "8Gi"`), []byte(`"memory": "8Gx"`), 1),
		"twice":                        slices.Concat(plan, plan),
		"invalid UTF-8":                bytes.Replace(plan, []byte("gpu-1"), []byte("gpu-\xff"), 1),
		"invalid UTF-8 too":            bytes.Replace(plan, []byte(`"name": "lab"`), []byte("\"name\": \"l\xffab\""), 1),
		"NUL":                          bytes.Replace(plan, []byte("gpu-1"), []byte("gpu-\x00"), 1),
		"deep":                         []byte(deep), "deep YAML": []byte(strings.Repeat("- ", 30_000) + "x"), "deep flow": []byte("a: " + strings.Repeat("[", 30_000)),
		"many parts": slices.Concat([]byte(`{"plans":[`), bytes.Repeat([]byte("{},"), 2<<20), []byte(`{}]}`)),
		"aliases":    []byte("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n"),
		"documents":  []byte("apiVersion: gpuworker.io/v1alpha1\nkind: Hypervisor\n"),
		"a binary":   {0x7f, 'E', 'L', 'F', 0, 0, 1},
		"too large":  bytes.Repeat([]byte(" "), 33<<20),
	}
}

func TestInvalidPlanFilesAreRefused(t *testing.T) {
	inScene(t, planScenes()[0], "json", func(l *oldLab, file string) {
		plan, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range brokenPlans(plan) {
			l.write(file, data)
			p := l.typed("apply --yes --plan " + file)
			if p.code != 2 || p.out != "" || !strings.Contains(p.err, "Next:") {
				t.Errorf("%s: exit code %d:\n%s%s", name, p.code, short(p.out), short(p.err))
			}
			l.lab.judge(p)
		}
		for name, path := range map[string]string{"a folder": filepath.Dir(file), "nothing": file + ".nothing", "a device without end": "/dev/zero", "an empty device": "/dev/null"} {
			p := l.typed("apply --yes --plan " + path)
			if p.code != 2 || p.out != "" || !strings.Contains(p.err, "Next:") {
				t.Errorf("%s: exit code %d:\n%s%s", name, p.code, short(p.out), short(p.err))
			}
		}
		if written := l.writes.take(); len(written) > 0 {
			t.Errorf("it writes: %v", written)
		}
	})
}

// Nobody may ever write to a FIFO: Ctrl-C ends the read. With -f, a FIFO may contain a
// plan of another process.
func TestAPlanFromAFIFO(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip(err)
	}
	interrupts := make(chan os.Signal, 1)
	interrupts <- os.Interrupt
	l := &lab{t: t, interrupts: interrupts}
	if p := l.runAsTyped(false, "apply", "--yes", "--plan", fifo); p.code != 130 {
		t.Errorf("exit code %d:\n%s%s", p.code, p.out, p.err)
	}
	end, err := os.OpenFile(fifo, os.O_WRONLY, 0) // the reader that was left waiting ends
	if err != nil {
		t.Fatal(err)
	}
	_ = end.Close()
}

// No text in a plan file can control a terminal.
func TestTextsOfAPlanFileAreHarmlessEverywhere(t *testing.T) {
	inScene(t, planScenes()[1], "json", func(l *oldLab, file string) {
		var whole any
		l.mustRead(file, &whole)
		for n, text := range hostileTexts {
			turn := n
			eachText(whole, text, func(changed []byte) {
				if turn++; turn%(5*thorough.Every) > 0 {
					return
				}
				l.write(file, changed)
				l.lab.judge(l.runAsTyped(turn%2 == 0, "apply", "--dry-run", "--plan", file))
				l.lab.judge(l.runAsTyped(turn%2 == 0, "apply", "--dry-run", "--plan", file, "-f", l.document))
				asJSON := l.runAsTyped(false, "apply", "--dry-run", "-o", "json", "--plan", file)
				l.lab.judge(asJSON)
				if asJSON.code != 0 && !json.Valid([]byte(asJSON.err)) {
					l.t.Errorf("an error that is no JSON: %s", short(asJSON.err))
				}
			})
		}
		for _, key := range hostileTexts {
			whole.(map[string]any)[key] = 1
		}
		data, err := json.Marshal(whole)
		if err != nil {
			l.t.Fatal(err)
		}
		l.write(file, data)
		l.lab.judge(l.runAsTyped(false, "apply", "--dry-run", "--plan", file))
		l.write(file, []byte("a: "+hostileTexts[0]))
		l.lab.judge(l.runAsTyped(false, "apply", "--dry-run", "--plan", file))
	})
}

// Warnings about the documents in a plan are printed like those about files of -f.
func TestAPlanOfAnInsecureHypervisorIsWarnedOf(t *testing.T) {
	inScene(t, planScenes()[0], "json", func(l *oldLab, file string) {
		l.declare("credentials:", "tls: {insecure: true}\n    credentials:")
		l.write(file, []byte(l.must("plan -o json").out))
		for _, given := range []string{"", " -f " + l.document} {
			if p := l.typed("apply --dry-run --plan " + file + given); p.code != 0 || strings.Count(p.err, "tls.insecure: TLS verification is off") != 1 {
				t.Errorf("%q: exit code %d:\n%s", given, p.code, p.err)
			}
		}
	})
}

// Of many differences, the first ones are printed.
func TestAPlanOfAnotherWorldNamesAFewDifferences(t *testing.T) {
	inScene(t, planScenes()[0], "json", func(l *oldLab, file string) {
		l.declare("replicas: 2", "replicas: 40")
		var many, seen map[string]any
		l.mustRead(file, &seen)
		p := l.run(false, "plan", "-o", "json")
		l.write(file, []byte(p.out))
		l.mustRead(file, &many)
		many["plans"] = seen["plans"]
		data, err := json.Marshal(many)
		if err != nil {
			t.Fatal(err)
		}
		l.write(file, data)
		p = l.typed("apply --yes --plan " + file)
		if p.code != 7 || strings.Count(p.err, "is new in the plan") != 9 || !strings.Contains(p.err, "and 29 more") {
			t.Errorf("exit code %d:\n%s", p.code, p.err)
		}
	})
}
