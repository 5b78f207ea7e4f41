package bootstrap

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/golden"
	"github.com/gpuworker/gpuworker/internal/guest"
)

const (
	uuid = "6f1d0c2e-3b5a-4e1f-9c77-0a1b2c3d4e5f"
	key  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDXbI5q5mkR8Bka4qYznrnIQQgIE30jUPoOGlR8ctI3Y operator@example.org"
)

// ca is a certificate, as a document has it.
func ca(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("testdata/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// program is a stand-in for gpuworker-guest.
var program = NewBuild("amd64", []byte("#!/bin/sh\necho gpuworker-guest \"$@\"\n"))

// The networks of the golden files.
var networks = map[string][]NIC{
	"dhcp":   {{MAC: "bc:24:11:00:00:01"}},
	"static": {{MAC: "bc:24:11:00:00:01", Address: "192.0.2.21/24", Gateway: "192.0.2.1"}},
	"two": {
		{MAC: "BC:24:11:00:00:01"},
		{MAC: "bc:24:11:00:00:02", Address: "198.51.100.21/24", Gateway: "198.51.100.1"},
	},
	"twodhcp": {{MAC: "bc:24:11:00:00:01"}, {MAC: "bc:24:11:00:00:02"}},
	"ipv6":    {{MAC: "bc:24:11:00:00:01", Address: "2001:db8::21/64", Gateway: "fe80::1"}},
	"image":   nil,
}

// worker is a worker with one network of each kind and all that an operator can add.
func worker(t testing.TB, strategy driver.Strategy, network string, os driver.OS) Worker {
	w := Worker{
		Name: "gpu-1", UUID: uuid, OS: os, NICs: networks[network],
		DNS:    v1alpha1.DNS{Servers: []string{"192.0.2.53"}, Search: []string{"lab.example.org"}},
		Access: v1alpha1.Access{User: "ops", SSHKeys: []string{key}},
		Orders: guest.Orders{
			Version: guest.Version, Program: "v0.1.0", Worker: "gpu-1", UUID: uuid,
			Driver: driver.Order{Strategy: strategy, Branch: "580", Open: true, Toolkit: true},
			GPU:    &guest.GPU{ID: "10de:1eb8"},
		},
		Program: Source{Delivery: v1alpha1.DeliverySeedISO, Builds: []Build{program}},
		Parts: v1alpha1.CloudInit{
			WriteFiles: []v1alpha1.GuestFile{
				{Path: "/etc/sysctl.d/90-hugepages.conf", Content: "vm.nr_hugepages = 512\n", Permissions: "0644", Owner: "root:root"},
				{Path: "/home/ops/.profile", Content: "export LANG=C.UTF-8", Permissions: "0600", Owner: "ops:ops"},
			},
			Packages:       []string{"nfs-common"},
			RunCommands:    []string{"sysctl --system", "echo \"it's done\" >/etc/motd"},
			CACertificates: []string{ca(t)},
			Proxy:          v1alpha1.Proxy{HTTP: "http://proxy.example.org:3128", HTTPS: "http://proxy.example.org:3128", NoProxy: []string{".example.org", "10.0.0.0/8"}},
			AptMirror:      "https://mirror.example.org/ubuntu",
			NTPServers:     []string{"ntp.example.org"},
		},
	}
	if strategy == driver.None {
		w.Orders.Driver, w.Orders.GPU = driver.Order{Strategy: strategy}, nil
	}
	if os.IsRHEL() {
		w.Parts.AptMirror, w.Parts.Packages = "", []string{"nfs-utils"}
	}
	return w
}

// goldens are the combinations of strategy, network and release.
var goldens = []struct {
	name     string
	strategy driver.Strategy
	network  string
	os       driver.OS
	change   func(*Worker)
}{
	{"ubuntu-22.04-packages-dhcp", driver.Packages, "dhcp", driver.Ubuntu2204, nil},
	{"ubuntu-24.04-packages-static", driver.Packages, "static", driver.Ubuntu2404, nil},
	{"ubuntu-24.04-packages-two", driver.Packages, "two", driver.Ubuntu2404, nil},
	{"ubuntu-24.04-operator-ipv6", driver.Operator, "ipv6", driver.Ubuntu2404, nil},
	{"ubuntu-26.04-preinstalled-twodhcp", driver.Preinstalled, "twodhcp", driver.Ubuntu2604, nil},
	{"ubuntu-26.04-none-dhcp", driver.None, "dhcp", driver.Ubuntu2604, nil},
	{"ubuntu-24.04-operator-image", driver.Operator, "image", driver.Ubuntu2404, bare},
	{"debian-12-preinstalled-dhcp", driver.Preinstalled, "dhcp", driver.Debian12, nil},
	{"debian-12-operator-two", driver.Operator, "two", driver.Debian12, nil},
	{"debian-12-none-static", driver.None, "static", driver.Debian12, bare},
	{"debian-13-ansible-static", driver.Ansible, "static", driver.Debian13, nil},
	{"debian-13-operator-ipv6", driver.Operator, "ipv6", driver.Debian13, root},
	{"rocky-9-packages-dhcp", driver.Packages, "dhcp", driver.Rocky9, nil},
	{"rocky-9-packages-two", driver.Packages, "two", driver.Rocky9, nil},
	{"rhel-9-operator-static", driver.Operator, "static", driver.RHEL9, nil},
	{"rhel-9-none-twodhcp", driver.None, "twodhcp", driver.RHEL9, bare},
	{"ubuntu-24.04-packages-agent", driver.Packages, "static", driver.Ubuntu2404, by(v1alpha1.DeliveryGuestAgent)},
	{"ubuntu-24.04-preinstalled-template", driver.Preinstalled, "static", driver.Ubuntu2404, by(v1alpha1.DeliveryTemplate)},
	{"rocky-9-packages-url", driver.Packages, "dhcp", driver.Rocky9, by(v1alpha1.DeliveryURL)},
}

// bare has none of the operator's parts.
func bare(w *Worker) {
	w.Parts, w.DNS, w.Access = v1alpha1.CloudInit{}, v1alpha1.DNS{}, v1alpha1.Access{}
}

func root(w *Worker) { w.Access.User = "root" }

func by(delivery v1alpha1.Delivery) func(*Worker) {
	return func(w *Worker) {
		w.Program.Delivery = delivery
		switch delivery {
		case v1alpha1.DeliveryURL:
			w.Program.Download = v1alpha1.Download{URL: "https://mirror.example.org/gpuworker-guest?a=1&b=2", SHA256: program.SHA256}
			w.Program.Builds = nil
		case v1alpha1.DeliveryTemplate:
			w.Program.Builds = nil
		case v1alpha1.DeliverySeedISO, v1alpha1.DeliveryGuestAgent:
		}
	}
}

// eachGolden renders all combinations.
func eachGolden(t *testing.T, do func(t *testing.T, name string, seed, clean Seed)) {
	t.Helper()
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) {
			w := worker(t, g.strategy, g.network, g.os)
			if g.change != nil {
				g.change(&w)
			}
			do(t, g.name, mustRender(t, w), mustClean(t, w))
		})
	}
}

func mustRender(t testing.TB, w Worker) Seed {
	t.Helper()
	seed, err := Render(w)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

func mustClean(t testing.TB, w Worker) Seed {
	t.Helper()
	seed, err := Clean(w)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

func TestTheSeedOfEachCombination(t *testing.T) {
	if len(goldens) < 16 {
		t.Fatalf("only %d combinations", len(goldens))
	}
	eachGolden(t, func(t *testing.T, name string, seed, clean Seed) {
		var b strings.Builder
		for _, part := range []struct {
			title string
			files []File
		}{{"seed", seed.Files()}, {"clean seed", clean.Files()}} {
			for _, f := range part.files {
				if strings.HasPrefix(f.Name, "gpuworker-guest") {
					fmt.Fprintf(&b, "=== %s: %s (%o), %d bytes\n", part.title, f.Name, f.Mode, len(f.Data))
					continue
				}
				fmt.Fprintf(&b, "=== %s: %s (%o)\n%s", part.title, f.Name, f.Mode, f.Data)
			}
		}
		golden.Compare(t, filepath.Join("testdata", name+".golden"), b.String())
	})
}

func TestTheCleanSeedIsTheSameMachineWithoutSecrets(t *testing.T) {
	const canary = "hunter2-canary"
	w := worker(t, driver.Packages, "two", driver.Ubuntu2404)
	w.Parts.WriteFiles = append(w.Parts.WriteFiles,
		v1alpha1.GuestFile{Path: "/etc/registry.json", Content: canary},
		v1alpha1.GuestFile{Path: "/etc/binary", Content: canary + "\x00\xff"})
	w.Parts.RunCommands = append(w.Parts.RunCommands, "login "+canary)
	w.Parts.Packages = append(w.Parts.Packages, canary)
	seed, clean := mustRender(t, w), mustClean(t, w)
	hidden := base64.StdEncoding.EncodeToString([]byte(canary))[:16]
	if text := string(seed.UserData); strings.Count(text, canary) != 3 || !strings.Contains(text, hidden) {
		t.Fatal("the first seed has not all of the operator's parts")
	}
	image, err := clean.ISO()
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{canary, hidden, "orders", "runcmd", "bootcmd", "write_files", "gpuworker-guest", program.SHA256} {
		if bytes.Contains(image, []byte(secret)) {
			t.Errorf("the clean image has %q", secret)
		}
	}
	if !bytes.Equal(seed.MetaData, clean.MetaData) || !bytes.Equal(seed.NetworkConfig, clean.NetworkConfig) {
		t.Error("instance-id or network changed: cloud-init would set the guest up again")
	}
	if !strings.Contains(string(clean.MetaData), uuid) || !strings.Contains(string(clean.UserData), key) {
		t.Errorf("meta-data %s\nuser-data %s", clean.MetaData, clean.UserData)
	}
}

// Each file of ours is one that the documents must not write, and a document that does it
// is refused here too.
func TestOurFilesAreReserved(t *testing.T) {
	seed := mustRender(t, worker(t, driver.Packages, "dhcp", driver.Ubuntu2404))
	theirs := map[string]bool{"/etc/sysctl.d/90-hugepages.conf": true, "/home/ops/.profile": true}
	ours := []string{guest.ProgramFile, guest.OrdersFile, guest.StatusFile, guest.LogFile, guest.MarkerFile, seededPath, agentDropInPath, agentEnvPath, seedMountPath, "/etc/systemd/system/gpuworker-guest.service"}
	for _, f := range configOf(t, seed.UserData).WriteFiles {
		if !theirs[f.Path] {
			ours = append(ours, f.Path)
		}
	}
	if len(ours) < 12 || guest.ProgramFile != v1alpha1.ProgramPath {
		t.Fatalf("our files: %q", ours)
	}
	for _, path := range ours {
		if v1alpha1.ReservedPath(path) == "" {
			t.Errorf("%s is not reserved", path)
		}
		w := worker(t, driver.Packages, "dhcp", driver.Ubuntu2404)
		w.Parts.WriteFiles = []v1alpha1.GuestFile{{Path: path}}
		if _, err := Render(w); err == nil {
			t.Errorf("%s can be overwritten", path)
		}
	}
}

func TestWhatCannotBeRenderedIsRefused(t *testing.T) {
	for name, change := range map[string]func(*Worker){
		"a name with a line break":   func(w *Worker) { w.Name, w.Orders.Worker = "gpu\n1", "gpu\n1" },
		"a UUID that is none":        func(w *Worker) { w.UUID, w.Orders.UUID = "", "" },
		"orders for another VM":      func(w *Worker) { w.Orders.UUID = strings.Replace(uuid, "6", "7", 1) },
		"orders for another worker":  func(w *Worker) { w.Orders.Worker = "gpu-2" },
		"a user with a space":        func(w *Worker) { w.Access.User = "a b" },
		"a network card without MAC": func(w *Worker) { w.NICs = []NIC{{}} },
		"an address without prefix":  func(w *Worker) { w.NICs = []NIC{{MAC: "bc:24:11:00:00:01", Address: "192.0.2.1"}} },
		"a gateway that is none":     func(w *Worker) { w.NICs = []NIC{{MAC: "bc:24:11:00:00:01", Gateway: "x"}} },
		"a mirror of apt on Rocky":   func(w *Worker) { w.OS = driver.Rocky9 },
		"a command with NUL":         func(w *Worker) { w.Parts.RunCommands = []string{"a\x00b"} },
		"no program":                 func(w *Worker) { w.Program.Builds = nil },
		"no delivery":                func(w *Worker) { w.Program.Delivery = "" },
		"a program of another release": func(w *Worker) {
			w.Program.Builds = []Build{{Arch: "amd64", SHA256: program.SHA256, Data: []byte("x")}}
		},
		"a program without a checksum":  func(w *Worker) { w.Program.Builds = []Build{{Arch: "amd64"}} },
		"a program for another machine": func(w *Worker) { w.Program.Builds = []Build{NewBuild("riscv64", nil)} },
		"a program twice":               func(w *Worker) { w.Program.Builds = []Build{program, program} },
		"a download without a checksum": func(w *Worker) {
			w.Program = Source{Delivery: v1alpha1.DeliveryURL, Download: v1alpha1.Download{URL: "https://x"}}
		},
		"more than 1 MiB of user-data": func(w *Worker) {
			w.Parts.WriteFiles = []v1alpha1.GuestFile{{Path: "/x", Content: strings.Repeat("x", 1<<20)}}
		},
	} {
		w := worker(t, driver.Packages, "dhcp", driver.Ubuntu2404)
		change(&w)
		if _, err := Render(w); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// config is what cloud-init reads in user-data.
type config struct {
	Hostname string     `yaml:"hostname"`
	Keys     []string   `yaml:"ssh_authorized_keys"`
	Bootcmd  [][]string `yaml:"bootcmd"`
	Runcmd   [][]string `yaml:"runcmd"`
	Packages []string   `yaml:"packages"`
	CACerts  struct {
		Trusted []string `yaml:"trusted"`
	} `yaml:"ca_certs"`
	WriteFiles []struct {
		Path        string `yaml:"path"`
		Permissions string `yaml:"permissions"`
		Owner       string `yaml:"owner"`
		Encoding    string `yaml:"encoding"`
		Content     string `yaml:"content"`
		Defer       bool   `yaml:"defer"`
	} `yaml:"write_files"`
}

func configOf(t testing.TB, userData []byte) config {
	t.Helper()
	if !bytes.HasPrefix(userData, []byte("#cloud-config\n")) {
		t.Fatalf("user-data begins with %.40q", userData)
	}
	var c config
	if err := yaml.Unmarshal(userData, &c); err != nil {
		t.Fatalf("user-data is not YAML: %v\n%s", err, userData)
	}
	return c
}

// content returns what is written into a file.
func (c config) content(t testing.TB, path string) string {
	t.Helper()
	for _, f := range c.WriteFiles {
		if f.Path != path {
			continue
		}
		if f.Encoding == "" {
			return f.Content
		}
		data, err := base64.StdEncoding.DecodeString(f.Content)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	t.Fatalf("%s is not written", path)
	return ""
}

func TestHostileTextsStayData(t *testing.T) {
	for _, text := range hostile {
		w := worker(t, driver.Packages, "dhcp", driver.Ubuntu2404)
		w.Parts.WriteFiles = []v1alpha1.GuestFile{{Path: "/etc/hostile" + strings.ReplaceAll(text, "\x00", ""), Content: text, Permissions: "600"}}
		w.Parts.RunCommands = []string{strings.ReplaceAll(text, "\x00", "")}
		w.Access.SSHKeys = []string{text}
		c := configOf(t, mustRender(t, w).UserData)
		checkSame(t, c, w)
	}
}

var hostile = []string{
	"", " ", "\n", "\n\n", "a\n", "a\n\n", "a", " a\n", "a \nb\n", "\ta\n", "a\tb\nc\n", "no", "0777", "12:30:45", "1_000", "~", "null", "=", "<<", "- a\n", "a: b\n", "{}", "[]", "# no comment\n", "a #b\n",
	"---\n", "...\n", "%YAML 1.1\n", "&a\n", "*a", "!!python/object/apply:os.system [reboot]", "!x\n", "|\n", ">\n", "'", `"`, `\`, "${x}", "$(reboot)", "`reboot`", "'; reboot; '", "\"; reboot; \"",
	"## template: jinja\n{{ v1 }}\n", "{{ ds.meta_data }}", "\r\n", "a\r\nb\r\n", "\x1b[2J", "\u2028x\n", "\u0085\n", "\ufeff", "\ufffe", "\x7f", "ä漢😀", "a\x00b", "x\n  y\n z\n", "END\n", "EOF\nreboot\n", strings.Repeat("long ", 1000) + "\n",
}

// checkSame compares what a guest reads with what the operator wrote.
func checkSame(t testing.TB, c config, w Worker) {
	t.Helper()
	last := c.WriteFiles[len(c.WriteFiles)-1]
	f := w.Parts.WriteFiles[0]
	if want := strings.ToValidUTF8(f.Path, "\ufffd"); last.Path != want || c.content(t, want) != f.Content {
		t.Errorf("the file %q with %q is written as %q, %q", f.Path, f.Content, last.Path, last.Content)
	}
	command := c.Runcmd[len(c.Runcmd)-2]
	if want := strings.ToValidUTF8(w.Parts.RunCommands[0], "\ufffd"); command[len(command)-1] != want {
		t.Errorf("the command %q is run as %q", want, command)
	}
	if want := strings.ToValidUTF8(w.Access.SSHKeys[0], "\ufffd"); c.Keys[0] != want {
		t.Errorf("the key %q is read as %q", want, c.Keys[0])
	}
	if c.Hostname != w.Name || len(c.Bootcmd) == 0 {
		t.Errorf("host name %q, bootcmd %q", c.Hostname, c.Bootcmd)
	}
}

// cloud-init makes users after it writes files.
func TestFilesOfUsersWaitForTheUsers(t *testing.T) {
	for _, c := range []struct {
		path, owner string
		waits       bool
	}{
		{"/etc/a", "root:root", false}, {"/etc/a", "", false}, {"/etc/a", "root", false}, {"/etc/a", "ops:ops", true}, {"/etc/a", "root:ops", true}, {"/home/ops/a", "root:root", true},
	} {
		w := worker(t, driver.Packages, "dhcp", driver.Ubuntu2404)
		w.Parts.WriteFiles = []v1alpha1.GuestFile{{Path: c.path, Owner: c.owner, Permissions: "600"}}
		files := configOf(t, mustRender(t, w).UserData).WriteFiles
		if f := files[len(files)-1]; f.Defer != c.waits || f.Permissions != "0600" || c.owner == "ops:ops" && f.Owner != c.owner {
			t.Errorf("%s of %q: %+v", c.path, c.owner, f)
		}
	}
}

func FuzzUserData(f *testing.F) {
	for _, text := range hostile {
		f.Add(text)
	}
	w := worker(f, driver.Packages, "dhcp", driver.Ubuntu2404)
	f.Fuzz(func(t *testing.T, text string) {
		w := w
		w.Parts.WriteFiles = []v1alpha1.GuestFile{{Path: "/srv/" + text, Content: text}}
		w.Parts.RunCommands = []string{text}
		w.Access.SSHKeys = []string{text}
		seed, err := Render(w)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatal(err)
			}
			return
		}
		checkSame(t, configOf(t, seed.UserData), w)
	})
}
