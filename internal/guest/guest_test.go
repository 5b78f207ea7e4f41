package guest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/pci"
)

const (
	vmUUID  = "6e3c9f0a-1111-4222-8333-123456789abc"
	t4UUID  = "GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689"
	evil    = "\x1b[31mred\u202e"
	escaped = `\x1b[31mred\u202e`
)

func status() Status {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	return Status{
		Version: Version, Program: "v0.3.0", UUID: vmUUID, BootID: "b", OS: "ubuntu 24.04", Kernel: "6.8.0-45-generic",
		Steps:    []Step{{Name: "packages", Key: "580", State: StepFailed, Tries: 2, Began: at, Problem: "no space left on device", Fix: "make room"}},
		Findings: []finding.Finding{finding.New(finding.GuestNoGPU, finding.Fail, fault.Place{Card: pci.MustBDF("0000:01:00.0")}).WithReason("none")},
		Driver:   &Driver{Version: "580.95.05", Open: true},
		GPUs:     []SeenGPU{{BDF: "0000:01:00.0", ID: "10de:1eb8", Model: "Tesla T4", UUID: t4UUID}},
		Updated:  at,
	}
}

func encode(t testing.TB, value any) []byte {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAStatusSurvivesJSON(t *testing.T) {
	want := status()
	got, err := ParseStatus(encode(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got, cmp.AllowUnexported(pci.BDF{})); diff != "" {
		t.Error(diff)
	}
}

func TestAHostileStatusIsHarmless(t *testing.T) {
	s := status()
	s.Kernel, s.Steps[0].Problem = evil, evil
	s.Findings[0].Reason, s.Findings[0].Fix, s.Findings[0].Layer = evil, evil, finding.LayerAPI
	s.GPUs[0].Model, s.Driver.Version = evil, evil
	for range 100 {
		s.Steps, s.GPUs = append(s.Steps, Step{}), append(s.GPUs, SeenGPU{})
	}
	got, err := ParseStatus(encode(t, s))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{got.Kernel, got.Steps[0].Problem, got.Findings[0].Reason, got.Findings[0].Fix, got.GPUs[0].Model, got.Driver.Version} {
		if text != escaped {
			t.Errorf("%q", text)
		}
	}
	if got.Findings[0].Layer != finding.LayerGuest || len(got.Steps) != maxSteps || len(got.GPUs) != maxGPUs {
		t.Errorf("layer %s, %d steps, %d GPUs", got.Findings[0].Layer, len(got.Steps), len(got.GPUs))
	}
}

func TestAStatusThatCannotBeReadSaysWhy(t *testing.T) {
	for text, want := range map[string]string{
		"":                "unexpected end",
		`{"version":2}`:   "use a newer gpuworker",
		`{}`:              "no version",
		`{"version":"1"}`: "cannot unmarshal",
		`{"version":1,"program":"` + strings.Repeat("x", MaxStatus) + `"}`: "longer than 64 KiB",
	} {
		if _, err := ParseStatus([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

func orders() Orders {
	return Orders{
		Version: Version, Program: "v0.3.0", Worker: "gpu-1", UUID: vmUUID,
		Driver: driver.Order{Strategy: driver.Packages, Branch: "580", Version: "580.95.05", Open: true},
		GPU:    &GPU{ID: "10de:1eb8", UUID: t4UUID},
	}
}

func TestOrdersSurviveJSON(t *testing.T) {
	plain := orders()
	plain.GPU, plain.Driver = nil, driver.Order{}
	for _, want := range []Orders{orders(), plain} {
		got, err := ParseOrders(encode(t, want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestOrdersAreReadStrictly(t *testing.T) {
	for want, change := range map[string]func(*Orders){
		"version 9":                func(o *Orders) { o.Version = 9 },
		"worker is not a name":     func(o *Orders) { o.Worker = evil },
		"uuid is not a UUID":       func(o *Orders) { o.UUID = "x" },
		"strategy is not one of":   func(o *Orders) { o.Driver.Strategy = "Magic" },
		"strategy is missing":      func(o *Orders) { o.Driver.Strategy = "" },
		"for a worker with a GPU":  func(o *Orders) { o.GPU = nil },
		"branch is not a number":   func(o *Orders) { o.Driver.Branch = "580; reboot" },
		"version is not like":      func(o *Orders) { o.Driver.Version = "580.95.05\nPin: *" },
		"is not of branch":         func(o *Orders) { o.Driver.Version = "595.1" },
		"branch is missing":        func(o *Orders) { o.Driver.Branch = "" },
		"gpu.id is not":            func(o *Orders) { o.GPU.ID = "10DE:1EB8" },
		"gpu.uuid is not":          func(o *Orders) { o.GPU.UUID = "GPU-1" },
		"repository is not a URL":  func(o *Orders) { o.Driver.Repository = evil },
		"program is not a version": func(o *Orders) { o.Program = evil },
	} {
		o := orders()
		change(&o)
		if _, err := ParseOrders(encode(t, o)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	good := string(encode(t, orders()))
	for _, text := range []string{"", "[]", good + "{}", strings.Replace(good, `"worker"`, `"also":1,"worker"`, 1), strings.Repeat(" ", MaxStatus+1) + good} {
		if _, err := ParseOrders([]byte(text)); err == nil {
			t.Errorf("%.60q passes", text)
		}
	}
}

func FuzzStatus(f *testing.F) {
	f.Add(encode(f, status()))
	f.Add([]byte(`{"version":1,"findings":[{"id":"GUEST-ORDERS","where":{"card":"0000:01:00.0"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseStatus(data)
		if err != nil {
			return
		}
		again, err := ParseStatus(encode(t, s))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, again, cmp.AllowUnexported(pci.BDF{})); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzOrders(f *testing.F) {
	f.Add(encode(f, orders()))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := ParseOrders(data)
		if err != nil {
			return
		}
		again, err := ParseOrders(encode(t, o))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(o, again); diff != "" {
			t.Error(diff)
		}
	})
}
