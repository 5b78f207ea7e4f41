package logging

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"
)

// said returns what a logger writes, without the time.
func said(format Format, level int, log func(*slog.Logger)) string {
	var b bytes.Buffer
	log(New(&b, format, level))
	return regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d |"time":"[^"]*",`).ReplaceAllString(b.String(), "")
}

// clone logs records like those of the client and the engine.
func clone(log *slog.Logger) {
	log.Debug("call", "method", "GET", "path", "/nodes/pve1/qemu?full=1", "status", 200, "took", 12345*time.Microsecond)
	log.With("hypervisor", "lab").Info("step", "worker", "gpu-1", "step", "clone", "outcome", "failed", "took", 3449*time.Millisecond,
		"vm", "", "error", errors.New("no space left"))
}

func TestALineForPeople(t *testing.T) {
	const step = `step gpu-1 clone failed 3.4s error="no space left" hypervisor=lab` + "\n"
	for level, want := range map[int]string{
		Silent: "", -1: "", Changes: step, Calls: "call GET /nodes/pve1/qemu?full=1 200 12ms\n" + step, 9: "call GET /nodes/pve1/qemu?full=1 200 12ms\n" + step,
	} {
		if got := said(Text, level, clone); got != want {
			t.Errorf("level %d: %q\nwant %q", level, got, want)
		}
	}
}

func TestALineForMachinesIsJSON(t *testing.T) {
	want := `{"level":"DEBUG","msg":"call","method":"GET","path":"/nodes/pve1/qemu?full=1","status":200,"took":0.012}` + "\n" +
		`{"level":"INFO","msg":"step","hypervisor":"lab","worker":"gpu-1","step":"clone","outcome":"failed","took":3.449,"vm":"","error":"no space left"}` + "\n"
	if got := said(JSON, Calls, clone); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTextFromOutsideCannotForgeALineOrControlATerminal(t *testing.T) {
	const planted = "mark\nstep forged\r\x1b]0;title\x07\x1b[31m\u009b2J\u202e"
	log := func(log *slog.Logger) {
		log = log.With("a", planted).WithGroup("in")
		log.Info(planted, planted, planted, "error", errors.New(planted), "group", slog.GroupValue(slog.String("b", planted)), "any", []string{planted})
		log.Info("long", "value", strings.Repeat("漢", 9000))
	}
	for _, format := range []Format{Text, JSON} {
		got := said(format, Calls, log)
		if lines := strings.Count(got, "\n"); lines != 2 {
			t.Errorf("%s: %d lines: %s", format, lines, got)
		}
		if strings.ContainsAny(got, "\x1b\x07\r\u009b\u202e") {
			t.Errorf("%s: %q", format, got)
		}
		if len(got) > 8<<10 {
			t.Errorf("%s: %d bytes", format, len(got))
		}
		for line := range strings.Lines(got) {
			if format == JSON && !json.Valid([]byte(line)) {
				t.Errorf("not JSON: %s", line)
			}
		}
	}
}

func TestDurationsAreRounded(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-1: "0s", 0: "<1ms", 900 * time.Microsecond: "<1ms", 12499 * time.Microsecond: "12ms", 1249 * time.Millisecond: "1.2s",
		12499 * time.Millisecond: "12s", 90*time.Minute + 400*time.Millisecond: "1h30m0s",
	} {
		if got := Rounded(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}
