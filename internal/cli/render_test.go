package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// guestProgram begins like a program for amd64.
const guestProgram = "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00"

// renderPools are a GPU pool with static addresses, and a plain one.
const renderPools = `
---
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: gpu}
spec:
  hypervisor: lab
  kubeCluster: rke2-lab
  gpus: [{id: "10de:1eb8", count: 2}, {card: "pve2/0000:03:00.0"}]
  template: {name: ubuntu-22.04}
  networks:
    - addresses: [192.0.2.21/24, 192.0.2.22/24, 192.0.2.23/24]
      gateway: 192.0.2.1
      macs: ["bc:24:11:00:00:01", "bc:24:11:00:00:02", "bc:24:11:00:00:03"]
  bootstrap: {cloudInit: {packages: [nfs-common]}}
---
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: driver}
spec:
  hypervisor: lab
  kubeCluster: rke2-lab
  gpus: [{id: "10de:1eb8"}, {id: "10de:1db4"}, {id: "10de:2335"}]
  template: {name: ubuntu-24.04, os: ubuntu-24.04}
  driver: {strategy: Packages, repository: {url: "https://mirror.example.org/ubuntu"}}
---
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: debian}
spec: {hypervisor: lab, kubeCluster: rke2-lab, replicas: 1, template: {name: debian-12, os: debian-12}}
---
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: plain}
spec: {hypervisor: lab, kubeCluster: rke2-lab, replicas: 1, template: {name: ubuntu-22.04}}
---
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: two-networks}
spec: {hypervisor: lab, kubeCluster: rke2-lab, replicas: 1, template: {name: ubuntu-22.04}, networks: [{}, {name: vmbr1}]}
`

// renderFiles makes the documents, and a directory with a build of gpuworker-guest.
func renderFiles(t *testing.T) (documents, guestDir, dir string) {
	t.Helper()
	text, err := os.ReadFile(lab)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	documents, guestDir = filepath.Join(root, "lab.yaml"), filepath.Join(root, "bin")
	if err := os.WriteFile(documents, append(text, renderPools...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(guestDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(guestDir, "gpuworker-guest-linux-amd64"), []byte(guestProgram), 0o755); err != nil {
		t.Fatal(err)
	}
	return documents, guestDir, filepath.Join(root, "seed")
}

func fileText(t *testing.T, elements ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestRenderWritesTheFilesOfOneWorker(t *testing.T) {
	documents, guestDir, dir := renderFiles(t)
	c := (&typed{}).run(t, "render", "gpu", "--cloud-init", dir, "-f", documents, "--worker", "gpu-2", "--guest-dir", guestDir).wants(t, fault.ExitOK).asked(t)
	if got := fileText(t, dir, "network-config"); !strings.Contains(got, "bc:24:11:00:00:02") || !strings.Contains(got, "192.0.2.22/24") {
		t.Errorf("network-config: %s", got)
	}
	for _, want := range []string{"hostname: gpu-2", "nfs-common", `"id": "10de:1eb8"`} {
		if got := fileText(t, dir, "user-data"); !strings.Contains(got, want) {
			t.Errorf("user-data lacks %s: %s", want, got)
		}
	}
	if fileText(t, dir, "gpuworker-guest-linux-amd64") != guestProgram || !strings.HasPrefix(fileText(t, dir, "gpu-bootstrap.sh"), "#!/bin/sh\n") {
		t.Error("program or script differ")
	}
	info, err := os.Stat(filepath.Join(dir, "user-data"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("user-data: %v, %v", info.Mode(), err)
	}
	uuid := strings.Fields(fileText(t, dir, "meta-data"))[1]
	for _, want := range []string{strings.Trim(uuid, `"`), "SHA-256", "genisoimage -R -V cidata"} {
		if !strings.Contains(c.out, want) {
			t.Errorf("%q is not printed: %s", want, c.out)
		}
	}
}

// The orders have the driver that the pool declares, for the card of each worker: a T4, a
// V100, which has no open modules, and an H200 of an SXM board.
func TestRenderOrdersTheDriverForTheCard(t *testing.T) {
	documents, guestDir, dir := renderFiles(t)
	(&typed{}).run(t, "render", "driver", "--cloud-init", dir, "-f", documents, "--guest-dir", guestDir).wants(t, fault.ExitOK)
	for worker, want := range map[string]string{
		"driver-1": `"strategy": "Packages", "branch": "580", "open": true, "repository": "https://mirror.example.org/ubuntu noble,noble-updates main restricted multiverse"`,
		"driver-2": `"strategy": "Packages", "branch": "580", "repository": "https://mirror.example.org/ubuntu noble,noble-updates main restricted multiverse"`,
		"driver-3": `"strategy": "Packages", "branch": "580", "open": true, "repository": "https://mirror.example.org/ubuntu noble,noble-updates main restricted multiverse", "noNVLink": true`,
	} {
		orders := strings.Join(strings.Fields(fileText(t, dir, worker, "user-data")), " ")
		if !strings.Contains(orders, `"driver": { `+want+` }`) {
			t.Errorf("%s: want %s in %s", worker, want, orders)
		}
	}
}

// The release of the guest is that of spec.template.os.
func TestRenderFollowsTheReleaseOfTheTemplate(t *testing.T) {
	documents, guestDir, dir := renderFiles(t)
	for pool, has := range map[string]bool{"debian": true, "plain": false} {
		(&typed{}).run(t, "render", pool, "--cloud-init", dir, "-f", documents, "--guest-dir", guestDir).wants(t, fault.ExitOK)
		if got := fileText(t, dir, pool+"-1", "user-data"); strings.Contains(got, "locale: C.UTF-8") != has {
			t.Errorf("%s: %s", pool, got)
		}
	}
}

func TestRenderNeverReplacesFilesWithoutForce(t *testing.T) {
	documents, guestDir, dir := renderFiles(t)
	command := []string{"render", "gpu", "--cloud-init", dir, "-f", documents, "--worker", "gpu-1", "--guest-dir", guestDir}
	(&typed{}).run(t, command...).wants(t, fault.ExitOK)
	mine := filepath.Join(dir, "meta-data")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "user-data")); err != nil {
		t.Fatal(err)
	}
	c := (&typed{}).run(t, command...)
	if c.code == fault.ExitOK || !strings.Contains(c.err, "--force") || fileText(t, mine) != "mine" {
		t.Errorf("exit %d: %s", c.code, c.err)
	}
	if _, err := os.Stat(filepath.Join(dir, "user-data")); err == nil {
		t.Error("some files were written")
	}
	(&typed{}).run(t, append(command, "--force")...).wants(t, fault.ExitOK)
	if fileText(t, mine) == "mine" {
		t.Error("--force replaced nothing")
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".gpuworker-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestRenderWritesAllWorkersForMachines(t *testing.T) {
	documents, guestDir, dir := renderFiles(t)
	c := (&typed{}).run(t, "render", "gpu", "--cloud-init", dir, "-f", documents, "--guest-dir", guestDir, "--gpu", "10DE:1eb8", "-o", "json").wants(t, fault.ExitOK)
	var got struct{ Workers []renderedView }
	if err := json.Unmarshal([]byte(c.out), &got); err != nil || len(got.Workers) != 3 {
		t.Fatalf("%v: %s", err, c.out)
	}
	seen := map[string]bool{}
	for _, w := range got.Workers {
		if !strings.Contains(fileText(t, w.Directory, "meta-data"), w.UUID) || seen[w.UUID] {
			t.Errorf("%+v", w)
		}
		seen[w.UUID] = true
	}
}

func TestRenderOfAPlainWorkerWithDHCPNeedsNoNetwork(t *testing.T) {
	documents, guestDir, dir := renderFiles(t)
	(&typed{}).run(t, "render", "plain", "--cloud-init", dir, "-f", documents, "--guest-dir", guestDir).wants(t, fault.ExitOK)
	if _, err := os.Stat(filepath.Join(dir, "plain-1", "network-config")); err == nil {
		t.Error("there is a network-config without a MAC address")
	}
	const uuid = "6F1D0C2E-3B5A-4E1F-9C77-0A1B2C3D4E5F"
	(&typed{}).run(t, "render", "plain", "--cloud-init", dir, "-f", documents, "--guest-dir", guestDir, "--worker", "plain-1", "--uuid", uuid, "--mac", "bc:24:11:00:00:09").wants(t, fault.ExitOK)
	if !strings.Contains(fileText(t, dir, "network-config"), "bc:24:11:00:00:09") || !strings.Contains(fileText(t, dir, "meta-data"), strings.ToLower(uuid)) {
		t.Error("--mac and --uuid are not used")
	}
}

func TestRenderSaysWhatIsMissing(t *testing.T) {
	documents, guestDir, dir := renderFiles(t)
	empty := t.TempDir()
	for want, args := range map[string][]string{
		"there is no pool with this name":          {"nobody", "--guest-dir", guestDir},
		"declares no worker \"gpu-9\"":             {"gpu", "--worker", "gpu-9", "--guest-dir", guestDir},
		"name its worker with --worker":            {"gpu", "--uuid", "x", "--guest-dir", guestDir},
		"holds no checksums of gpuworker-guest":    {"gpu"},
		"has neither gpuworker-guest-linux-amd64":  {"gpu", "--guest-dir", empty},
		"spec.gpus[1] does not say the vendor":     {"gpu", "--guest-dir", guestDir},
		"--gpu \"T4\" is not vendor and device":    {"gpu", "--guest-dir", guestDir, "--gpu", "T4"},
		"network card 0 has no MAC address":        {"two-networks", "--guest-dir", guestDir},
		"is not the UUID of a VM":                  {"plain", "--worker", "plain-1", "--uuid", "x", "--guest-dir", guestDir},
		"required flag(s) \"cloud-init\" not set":  nil,
		"write it as: gpuworker render POOL --clo": {},
	} {
		line := append([]string{"render"}, args...)
		switch {
		case args == nil:
			line = append(line, "gpu")
		default:
			line = append(line, "--cloud-init", dir)
		}
		c := (&typed{}).run(t, append(line, "-f", documents)...)
		if c.code == fault.ExitOK || !strings.Contains(c.err, want) {
			t.Errorf("%q: exit %d, want %q: %s", line, c.code, want, c.err)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("something was written")
	}
}

func TestRenderCompletesPoolsAndWorkers(t *testing.T) {
	documents, _, _ := renderFiles(t)
	c := (&typed{}).run(t, "__complete", "render", "-f", documents, "").wants(t, fault.ExitOK)
	if !strings.Contains(c.out, "two-networks\tpool") {
		t.Errorf("%s", c.out)
	}
	c = (&typed{}).run(t, "__complete", "render", "gpu", "-f", documents, "--worker", "").wants(t, fault.ExitOK)
	if !strings.Contains(c.out, "gpu-2\tdeclared") {
		t.Errorf("%s", c.out)
	}
}
