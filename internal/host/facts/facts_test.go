package facts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	hostcheck "github.com/gpuworker/gpuworker/internal/host/check"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// noon is the time of the facts in the tests.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// report is the output of a host with one card.
func report(host string, findings ...hostcheck.Finding) []byte {
	r := hostcheck.Report{
		Version: hostcheck.FormatVersion, Host: host, Taken: noon.Format(time.RFC3339),
		Cards: []hostcheck.Card{{BDF: pci.MustBDF("0000:03:00.0"), ID: pci.MustID("10de:1eb8"), Driver: "nouveau", Findings: findings}},
	}
	data, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return data
}

func told(id finding.ID, now, after finding.Verdict) hostcheck.Finding {
	return hostcheck.Finding{Finding: finding.Finding{ID: id, Verdict: now, Layer: finding.LayerOwner, Reason: "because"}, AfterReboot: after}
}

func TestFindingsThatTheHypervisorReportsItselfAreLeftOut(t *testing.T) {
	host, said, err := parse(report("pve1",
		told(finding.HostDriverOwns, finding.Fail, finding.Fail),
		told(finding.HostPowerStuck, finding.Unknown, finding.Unknown),
		told(finding.HostVFIOMissing, finding.Pass, finding.Fail), // lost at the next reboot
		told(finding.HostROM, finding.Info, finding.Info),
		told(finding.HostMemoryShort, finding.Fail, finding.Fail),
		told(finding.HostCardClaimed, finding.Fail, finding.Fail),
	), "pve1.json")
	if err != nil || host != "pve1" {
		t.Fatal(host, err)
	}
	card := said.facts.Card(pci.MustBDF("0000:03:00.0").Slot)
	if card == nil || card.Driver != "nouveau" || len(card.Findings) != 3 {
		t.Fatalf("%+v", card)
	}
	for i, want := range []struct {
		id      finding.ID
		verdict finding.Verdict
	}{{finding.HostDriverOwns, finding.Fail}, {finding.HostPowerStuck, finding.Unknown}, {finding.HostVFIOMissing, finding.Info}} {
		if got := card.Findings[i]; got.ID != want.id || got.Verdict != want.verdict {
			t.Errorf("%+v, want %v", got, want)
		}
	}
}

func TestLayersThatWereNotCheckedAreUnknown(t *testing.T) {
	r := hostcheck.Report{Version: hostcheck.FormatVersion, Host: "pve1", Cards: []hostcheck.Card{{
		BDF: pci.MustBDF("0000:03:00.0"), ID: pci.MustID("10de:1eb8"), Driver: "vfio-pci",
		Findings:     []hostcheck.Finding{told(finding.HostDriverOwns, finding.Pass, finding.Pass), told(finding.HostCardClaimed, finding.Fail, finding.Fail)},
		NotEvaluated: []finding.Layer{finding.LayerWindow, finding.LayerReset},
	}}}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	_, said, err := parse(data, "pve1.json")
	if err != nil {
		t.Fatal(err)
	}
	got := said.facts.Cards[0].Findings
	if n := len(got); n != 2 || got[1].Verdict != finding.Unknown || !strings.Contains(got[1].Reason, string(finding.HostCardClaimed)) {
		t.Errorf("two VMs claim the card, so its reset was not checked: %+v", got)
	}
}

func TestADirectoryIsReadWithAllItsProblems(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"a.json": report("pve1"), "b.json": report("pve1"), "pve2.json": report(""), "c.json": []byte("{}"), "d.json": []byte("<html>"),
		"e.json": []byte(`{"version": 99}`), "notes.txt": []byte("x"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := readDir(dir)
	if all["pve1"].facts == nil || all["pve2"].facts == nil || len(all) != 2 {
		t.Errorf("%v", all)
	}
	for _, name := range []string{"b.json", "c.json", "d.json", "e.json"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("nothing is said of %s: %v", name, err)
		}
	}
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("kind %v", fault.KindOf(err))
	}
	if _, err := readDir(filepath.Join(dir, "nothing")); err == nil {
		t.Error("a directory that is not there was read")
	}
}

func TestHostsWithoutAFileAreAskedBySSH(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pve1.json"), report("pve1"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Dir: dir, SSH: []string{"ops@pve2.example.org"}, Now: atNoon})
	if err != nil {
		t.Fatal(err)
	}
	s.run = func(_ context.Context, target string) ([]byte, error) {
		if target != "ops@pve2.example.org" {
			t.Errorf("asked %s", target)
		}
		return report("pve2"), nil
	}
	facts := s.Facts(t.Context(), hosts("pve1", "pve2", "pve3"))
	if facts["pve1"] == nil || facts["pve2"] == nil || facts["pve3"] != nil {
		t.Errorf("%v", facts)
	}
}

func TestAHostThatDoesNotAnswerIsReported(t *testing.T) {
	for name, answer := range map[string]func() ([]byte, error){
		"no connection": func() ([]byte, error) { return nil, errors.New("Connection refused") },
		"another shell": func() ([]byte, error) { return []byte("Last login: today\n"), nil },
		"another host":  func() ([]byte, error) { return report("pve2"), nil },
		"an old tool":   func() ([]byte, error) { return []byte(`{"cards": []}`), nil },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(Options{SSH: []string{"root@{host}"}, Now: atNoon})
			if err != nil {
				t.Fatal(err)
			}
			s.run = func(context.Context, string) ([]byte, error) { return answer() }
			facts := s.Facts(t.Context(), hosts("pve1"))["pve1"]
			if facts == nil || facts.Missing == "" || facts.From != "ssh root@pve1" {
				t.Errorf("%+v", facts)
			}
		})
	}
}

func TestTargetsThatWouldBeFlagsOfSSHAreRefused(t *testing.T) {
	for _, target := range []string{"-oProxyCommand=x", "", "root@pve1 rm"} {
		if _, err := Open(Options{SSH: []string{target}}); err == nil {
			t.Errorf("%q was taken", target)
		}
	}
}

// hosts are hosts of a hypervisor.
func hosts(names ...string) []*inventory.Host {
	var all []*inventory.Host
	for _, name := range names {
		all = append(all, &inventory.Host{Name: name})
	}
	return all
}

// FuzzParse reads facts of any content: all texts are safe for a terminal, and the
// age can always be computed.
func FuzzParse(f *testing.F) {
	f.Add(report("pve1", told(finding.HostDriverOwns, finding.Fail, finding.Fail)))
	f.Add([]byte(`{"version":1,"cards":[{"bdf":""}]}`))
	f.Add([]byte(`{"version":1,"host":"\u001b[2J","taken":"9999-12-31T23:59:59Z","system":{"uptime":9223372036854775807},"findings":[{"id":"\n","verdict":"?","reason":"\u202e"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		host, said, err := parse(data, "x")
		if err != nil {
			return
		}
		old := outdated(said, time.Hour, noon, MaxAge)
		for _, text := range append(texts(said.facts), host, old) {
			if !shown(text) {
				t.Fatalf("%q would be shown", text)
			}
		}
	})
}

// texts are all texts of facts that may be shown.
func texts(facts *inventory.Facts) []string {
	all := []string{facts.Missing, facts.Old}
	found := facts.Findings
	for _, card := range facts.Cards {
		all = append(all, card.Driver)
		found = append(slices.Clone(found), card.Findings...)
	}
	for _, f := range found {
		all = append(all, string(f.ID), string(f.Verdict), string(f.Layer), f.Reason, f.Fix, f.Where.Host, f.Where.Card.String(), f.Where.Worker)
	}
	return all
}

// shown reports whether a text may be written to a terminal.
func shown(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

func TestPipesAndDirectoriesAreErrors(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pve1.json"), 0o600); err != nil {
		t.Skip("no pipes here: ", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "pve2.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := readDir(dir)
	for _, name := range []string{"pve1.json", "pve2.json"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("nothing is said of %s: %v", name, err)
		}
	}
}

func TestAFileNamedAfterAnotherHostIsReported(t *testing.T) {
	dir := t.TempDir()
	for name, host := range map[string]string{"pve1.json": "pve9", "pve2.json": "PVE2", "any.json": "pve3"} {
		if err := os.WriteFile(filepath.Join(dir, name), report(host), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(Options{Dir: dir, Now: atNoon})
	if err != nil {
		t.Fatal(err)
	}
	facts := s.Facts(t.Context(), hosts("pve1", "pve2", "pve3", "pve4"))
	if f := facts["pve1"]; f == nil || len(f.Cards) > 0 || !strings.Contains(f.Missing, "it is of host pve9") {
		t.Errorf("pve1.json is of pve9: %+v", f)
	}
	for _, name := range []string{"pve2", "pve3"} {
		if f := facts[name]; f == nil || f.Missing != "" || len(f.Cards) != 1 {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if facts["pve4"] != nil {
		t.Errorf("there are no facts of pve4: %+v", facts["pve4"])
	}
}

func TestUnusedFactsAreReported(t *testing.T) {
	dir := t.TempDir()
	for name, host := range map[string]string{"pve1.json": "pve1", "PVE2.json": "PVE2", "typo.json": "pve\x1b[8m7"} {
		if err := os.WriteFile(filepath.Join(dir, name), report(host), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(Options{Dir: dir, SSH: []string{"root@{host}", "root@pve2.example.org", "root@10.0.0.7", "pve8"}, Now: atNoon})
	if err != nil {
		t.Fatal(err)
	}
	found := s.Unused([]string{"pve1", "pve2", "pve3"})
	var told []string
	for _, f := range found {
		if f.ID != finding.HostFactsUnused || f.Verdict != finding.Info || f.Fix == "" || !shown(f.Reason) {
			t.Errorf("%+v", f)
		}
		told = append(told, f.Reason)
	}
	text := strings.Join(told, "\n")
	if len(found) != 3 || !strings.Contains(text, "typo.json") || !strings.Contains(text, "pve [8m7") || !strings.Contains(text, "--ssh root@10.0.0.7") || !strings.Contains(text, "--ssh pve8") {
		t.Errorf("%d:\n%s", len(found), text)
	}
}

func TestTheNumberOfUnusedFindingsIsLimited(t *testing.T) {
	s := &Source{known: map[string]statement{}}
	for i := range 1000 {
		name := fmt.Sprintf("old%d", i)
		s.known[name] = statement{facts: &inventory.Facts{From: name + ".json"}}
	}
	found := s.Unused([]string{"pve1"})
	if len(found) > 20 || !strings.Contains(found[len(found)-1].Reason, "more") {
		t.Errorf("%d findings: %+v", len(found), found[len(found)-1])
	}
}
