package demo

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gpuworker/gpuworker/examples"
	"github.com/gpuworker/gpuworker/internal/cli"
	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/testdata/worlds"
)

func newTestStage(t *testing.T, request cli.DemoRequest) (*stage, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	request.Program.Out = cli.Stream{Writer: &out}
	request.Program.Err = cli.Stream{Writer: &out}
	s, err := newStage(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s, &out
}

func TestTheExamplePointsAtTheSimulator(t *testing.T) {
	text, err := pointAt(examples.Homelab, "https://127.0.0.1:4711", strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	documents, warnings, err := document.Load(document.File{Name: file, Data: text})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	spec := documents.Hypervisors[0].Spec.Proxmox
	if spec.Endpoint != "https://127.0.0.1:4711" || spec.TLS.Fingerprint != strings.Repeat("ab", 32) {
		t.Errorf("endpoint %s, fingerprint %s", spec.Endpoint, spec.TLS.Fingerprint)
	}
	if _, err := pointAt([]byte("nothing"), "", ""); err == nil {
		t.Error("a document without the endpoint is taken")
	}
}

func TestTheWorldHasTheDemosLogin(t *testing.T) {
	world, err := pvesim.LoadWorld(worlds.Homelab)
	if err != nil {
		t.Fatal(err)
	}
	if secret, err := secretOf(world, token); err != nil || !strings.HasPrefix(secret, token+"=") {
		t.Error(err)
	}
	if _, err := secretOf(world, "nobody@pve!none"); err == nil {
		t.Error("a token that is not there has a secret")
	}
}

func TestTheStageIsClearedAfterwards(t *testing.T) {
	before, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	s, _ := newTestStage(t, cli.DemoRequest{})
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the commands would not find their document: %v", err)
	}
	s.close()
	if now, _ := os.Getwd(); now != before {
		t.Errorf("working directory %s, want %s", now, before)
	}
	if _, err := os.Stat(s.folder); !os.IsNotExist(err) {
		t.Errorf("%s is left behind", s.folder)
	}
}

func TestTheCommandsHaveTheTokenAndTheirOwnEnvironment(t *testing.T) {
	outside := func(name string) (string, bool) { return "value of " + name, true }
	s, _ := newTestStage(t, cli.DemoRequest{Program: cli.Program{LookupEnv: outside}})
	if value, _ := s.Program.LookupEnv("PVE_TOKEN"); value != s.secret {
		t.Errorf("PVE_TOKEN is %q", value)
	}
	if value, _ := s.Program.LookupEnv("NO_COLOR"); value != "value of NO_COLOR" {
		t.Errorf("NO_COLOR is %q", value)
	}
	if width, _ := s.Program.Out.Size(); width != columns {
		t.Errorf("the story is %d columns wide", width)
	}
}

func TestKeepSaysHowToPlay(t *testing.T) {
	s, out := newTestStage(t, cli.DemoRequest{Keep: true})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.keep(ctx)
	for _, want := range []string{"export PVE_TOKEN='" + s.secret + "'", "export GPUWORKER_FILE=" + s.folder, "gpuworker status"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
}

func TestASecondApplyThatWritesIsFoundOut(t *testing.T) {
	s, _ := newTestStage(t, cli.DemoRequest{})
	if err := s.nothingWritten(s.writes()); err != nil {
		t.Error(err)
	}
	if err := s.nothingWritten(-1); err == nil {
		t.Error("a write is not found out")
	}
}

func TestHeadingsAreAsWideAsTheStory(t *testing.T) {
	s, _ := newTestStage(t, cli.DemoRequest{})
	for _, a := range acts {
		if n := utf8.RuneCountInString(s.heading(a.title)); n != columns {
			t.Errorf("%q: %d columns", a.title, n)
		}
		if n := utf8.RuneCountInString(a.why); n > columns {
			t.Errorf("%q: %d columns", a.why, n)
		}
	}
}
