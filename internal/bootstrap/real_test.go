package bootstrap

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/driver"
)

// cloudInit is a real cloud-init: on this machine, or in a directory with a Debian that
// is used with chroot.
type cloudInit struct{ root string }

// realCloudInit finds one, or skips the test. The directory is made by
//
//	hack/cloud-init-root
func realCloudInit(t *testing.T) cloudInit {
	t.Helper()
	root := os.Getenv("GPUWORKER_CLOUD_INIT_ROOT")
	if root == "" {
		cache, _ := os.UserCacheDir()
		root = filepath.Join(cache, "gpuworker", "cloud-init-bookworm")
	}
	if _, err := os.Stat(filepath.Join(root, "usr/bin/cloud-init")); err == nil && os.Getuid() == 0 {
		return cloudInit{root}
	}
	if _, err := exec.LookPath("cloud-init"); err == nil {
		return cloudInit{"/"}
	}
	t.Skipf("NOT TESTED: the real cloud-init; install it, or run as root hack/cloud-init-root, which makes %s", root)
	return cloudInit{}
}

// dir makes a directory in the root, and returns its paths outside and inside.
func (c cloudInit) dir(t *testing.T) (outside, inside string) {
	t.Helper()
	outside, err := os.MkdirTemp(filepath.Join(c.root, "tmp"), "gpuworker-") //nolint:usetesting // it must be below the root of the chroot
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(outside) })
	return outside, filepath.Join("/", strings.TrimPrefix(outside, c.root))
}

func (c cloudInit) run(args ...string) (string, error) {
	if c.root != "/" {
		args = append([]string{"chroot", c.root}, args...)
	}
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	return string(out), err
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// checkAll runs the command line of cloud-init for each file, in one process.
const checkAll = `
import sys
from cloudinit.cmd.main import main
for name in sys.argv[1:]:
    try:
        code = main(["cloud-init", "schema", "--config-file", name])
    except SystemExit as end:
        code = end.code
    print("exit", name, code)
`

var deprecated = regexp.MustCompile(`deprecations: \S`)

func TestTheRealCloudInitTakesEachSeed(t *testing.T) {
	c := realCloudInit(t)
	outside, inside := c.dir(t)
	files := map[string]bool{}
	eachGolden(t, func(t *testing.T, name string, seed, clean Seed) {
		write(t, filepath.Join(outside, name), seed.UserData)
		write(t, filepath.Join(outside, name+"-clean"), clean.UserData)
		files[inside+"/"+name], files[inside+"/"+name+"-clean"] = true, true
	})
	// A test of the test: a wrong type is found.
	write(t, filepath.Join(outside, "wrong"), []byte("#cloud-config\nruncmd: reboot\n"))
	files[inside+"/wrong"] = false
	out, _ := c.run(append([]string{"python3", "-c", checkAll}, slices.Sorted(maps.Keys(files))...)...)
	for file, valid := range files {
		if taken := strings.Contains(out, "Valid cloud-config: "+file+"\n"); taken != valid {
			t.Errorf("%s: cloud-init takes it: %t", file, taken)
		}
	}
	if len(files) < 33 || deprecated.MatchString(out) || t.Failed() {
		t.Errorf("%d files: %s", len(files), out)
	}
	if out, err := c.run("cloud-init", "schema", "--config-file", inside+"/"+goldens[0].name); err != nil {
		t.Errorf("by command line: %v: %s", err, out)
	}
}

// readNetwork prints what cloud-init understands in a network-config.
const readNetwork = `
import json, sys, yaml
from cloudinit.net import network_state
from cloudinit import safeyaml
for name in sys.argv[1:]:
    state = network_state.parse_net_config_data(safeyaml.load(open(name).read()))
    print(json.dumps(sorted((i["mac_address"], sorted((s["type"], s.get("address", "")) for s in i["subnets"])) for i in state.iter_interfaces())))
`

func TestTheRealNetplanTakesEachNetwork(t *testing.T) {
	c := realCloudInit(t)
	outside, inside := c.dir(t)
	if out, err := c.run("netplan", "help"); err != nil {
		t.Skipf("NOT TESTED: the real netplan: %v %s", err, out)
	}
	understood := map[string]string{
		"dhcp":    `[["bc:24:11:00:00:01", [["dhcp4", ""]]]]`,
		"static":  `[["bc:24:11:00:00:01", [["static", "192.0.2.21"]]]]`,
		"two":     `[["bc:24:11:00:00:01", [["dhcp4", ""]]], ["bc:24:11:00:00:02", [["static", "198.51.100.21"]]]]`,
		"twodhcp": `[["bc:24:11:00:00:01", [["dhcp4", ""]]], ["bc:24:11:00:00:02", [["dhcp4", ""]]]]`,
		"ipv6":    `[["bc:24:11:00:00:01", [["static6", "2001:db8::21"]]]]`,
	}
	for name, want := range understood {
		seed := mustRender(t, worker(t, driver.Operator, name, driver.Ubuntu2404))
		write(t, filepath.Join(outside, "network-config"), seed.NetworkConfig)
		out, err := c.run("python3", "-c", readNetwork, inside+"/network-config")
		if err != nil || strings.TrimSpace(out) != want {
			t.Errorf("%s: cloud-init understands %v %s", name, err, out)
		}
		netplan := append([]byte("network:\n  "), bytes.ReplaceAll(bytes.TrimRight(seed.NetworkConfig, "\n"), []byte("\n"), []byte("\n  "))...)
		write(t, filepath.Join(outside, name, "etc/netplan/50-cloud-init.yaml"), append(netplan, '\n'))
		if out, err := c.run("netplan", "generate", "--root-dir", filepath.Join(inside, name)); err != nil || out != "" {
			t.Errorf("%s: netplan: %v %s\n%s", name, err, out, netplan)
		}
		made, _ := filepath.Glob(filepath.Join(outside, name, "run/systemd/network/*"))
		if len(made) == 0 {
			t.Errorf("%s: netplan made nothing", name)
		}
	}
}

// renderNetwork prints what cloud-init writes for a network-config, by renderer, for a
// guest whose cards are eth0 and eth1.
const renderNetwork = `
import json, pathlib, sys, tempfile
from unittest import mock
from cloudinit import safeyaml
from cloudinit.net import eni, netplan, network_manager, network_state, networkd
cards = {"bc:24:11:00:00:01": "eth0", "bc:24:11:00:00:02": "eth1"}
written = {}
for renderer in eni, netplan, network_manager, networkd:
    root = tempfile.mkdtemp()
    with mock.patch("cloudinit.net.network_state.get_interfaces_by_mac", return_value=cards):
        state = network_state.parse_net_config_data(safeyaml.load(open(sys.argv[1]).read()))
    renderer.Renderer({"netplan_path": "etc/netplan/50-cloud-init.yaml", "postcmds": False}).render_network_state(state, target=root)
    name = renderer.__name__.rsplit(".", 1)[-1]
    written[name] = "".join(f.read_text() for f in sorted(pathlib.Path(root).rglob("*")) if f.is_file())
print(json.dumps(written))
`

func TestTheRealCloudInitWritesTheDefaultRouteOfDebianForEachRenderer(t *testing.T) {
	c := realCloudInit(t)
	outside, inside := c.dir(t)
	for network, via := range map[string]string{"static": "192.0.2.1", "two": "198.51.100.1", "ipv6": "fe80::1"} {
		seed := mustRender(t, worker(t, driver.Operator, network, driver.Debian12))
		if unknown := mustRender(t, worker(t, driver.Operator, network, "")); !bytes.Equal(unknown.NetworkConfig, seed.NetworkConfig) {
			t.Errorf("%s: a guest that may be a Debian has another network:\n%s", network, unknown.NetworkConfig)
		}
		write(t, filepath.Join(outside, "network-config"), seed.NetworkConfig)
		out, err := c.run("python3", "-c", renderNetwork, inside+"/network-config")
		var written map[string]string
		if err := errors.Join(err, json.Unmarshal([]byte(out), &written)); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		family := map[bool]string{true: "6", false: "4"}[network == "ipv6"]
		for renderer, want := range map[string]string{
			"eni": "\n    gateway " + via + "\n", "netplan": "gateway" + family + ": " + via + "\n",
			"network_manager": "\ngateway=" + via + "\n", "networkd": "\n[Route]\nGateway=" + via + "\n",
		} {
			if !strings.Contains(written[renderer], want) {
				t.Errorf("%s: %s has no default route:\n%s", network, renderer, written[renderer])
			}
		}
		if strings.Contains(written["eni"], "route add") {
			t.Errorf("%s: ifupdown needs the command route, which Debian does not have:\n%s", network, written["eni"])
		}
	}
}

// readBack prints the values of user-data as PyYAML, which cloud-init uses, reads them.
const readBack = `
import json, sys
from cloudinit import safeyaml
for name in sys.argv[1:]:
    c = safeyaml.load(open(name, "rb").read().decode())
    print(json.dumps([c["ssh_authorized_keys"][0], c["runcmd"][-2][-1], c["write_files"][-1]["content"], c["write_files"][-1].get("encoding", "")]))
`

func TestTheParserOfCloudInitReadsHostileTextsAsTheyAre(t *testing.T) {
	c := realCloudInit(t)
	outside, inside := c.dir(t)
	args := []string{"python3", "-c", readBack}
	var want []Worker
	for i, text := range hostile {
		w := worker(t, driver.Packages, "dhcp", driver.Ubuntu2404)
		bareText := strings.ReplaceAll(text, "\x00", "")
		w.Access.SSHKeys, w.Parts.RunCommands = []string{text}, []string{bareText}
		w.Parts.WriteFiles[len(w.Parts.WriteFiles)-1].Content = text
		name := "user-data-" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		write(t, filepath.Join(outside, name), mustRender(t, w).UserData)
		args, want = append(args, inside+"/"+name), append(want, w)
	}
	out, err := c.run(args...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err != nil || len(lines) != len(want) {
		t.Fatalf("%v: %s", err, out)
	}
	for i, line := range lines {
		checkReadBack(t, line, want[i])
	}
}

func checkReadBack(t *testing.T, line string, w Worker) {
	t.Helper()
	var got [4]string
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err)
	}
	content := w.Parts.WriteFiles[len(w.Parts.WriteFiles)-1].Content
	if got[3] == "b64" {
		content = base64.StdEncoding.EncodeToString([]byte(content))
	}
	if want := [4]string{w.Access.SSHKeys[0], w.Parts.RunCommands[0], content, got[3]}; got != want {
		t.Errorf("cloud-init reads %q, want %q", got, want)
	}
}

// readUsers prints the users that cloud-init makes, and its warnings.
const readUsers = `
import logging, sys
from cloudinit import distros, safeyaml
from cloudinit.distros import ug_util
logging.basicConfig(stream=sys.stdout, level=logging.INFO, force=True)
default = {"default_user": {"name": "debian", "groups": ["adm", "sudo"], "sudo": ["ALL=(ALL) NOPASSWD:ALL"]}}
distro = distros.fetch("debian")("debian", default, None)
users, _ = ug_util.normalize_users_groups(safeyaml.load(open(sys.argv[1]).read()), distro)
print({name: (user["groups"], user["sudo"], user["default"]) for name, user in users.items()})
`

// The schema does not know all that is deprecated.
func TestTheRealCloudInitMakesOneUserWithTheRightsOfTheImage(t *testing.T) {
	c := realCloudInit(t)
	outside, inside := c.dir(t)
	for user, want := range map[string]string{"ops": "ops", "": "debian"} {
		w := worker(t, driver.Packages, "dhcp", driver.Debian12)
		w.Access.User = user
		write(t, filepath.Join(outside, "user-data"), mustRender(t, w).UserData)
		out, err := c.run("python3", "-c", readUsers, inside+"/user-data")
		if err != nil || out != "{'"+want+"': ('adm,sudo', ['ALL=(ALL) NOPASSWD:ALL'], True)}\n" {
			t.Errorf("user %q: %v %s", user, err, out)
		}
	}
}
