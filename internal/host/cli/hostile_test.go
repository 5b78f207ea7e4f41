package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
	hostcheck "github.com/gpuworker/gpuworker/internal/host/check"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// hostileDisk is a tree on disk that no kernel makes: 40 functions in a domain of
// five digits and in sparse groups, some of them unreadable.
func hostileDisk(t *testing.T) (root string, addresses []string) {
	t.Helper()
	root = t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	do := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	do(os.WriteFile(secret, []byte("0x10de canary\n"), 0o600))
	list := filepath.Join(root, "sys/bus/pci/devices")
	do(os.MkdirAll(list, 0o755))
	for i := range 40 {
		bdf := fmt.Sprintf("10000:%02x:%02x.%d", i/8, i/8, i%8)
		addresses = append(addresses, bdf)
		dir := filepath.Join(root, "sys/devices/pci10000:00", bdf)
		group := filepath.Join(root, "sys/kernel/iommu_groups", fmt.Sprint(7+977*i), "devices")
		do(os.MkdirAll(dir, 0o755))
		do(os.MkdirAll(group, 0o755))
		for name, says := range map[string]string{"class": "0x030200\n", "vendor": "0x10de\n", "device": "0x1eb8\n", "resource": "", "config": "\xde\x10\xb8\x1e"} {
			do(os.WriteFile(filepath.Join(dir, name), []byte(says), 0o600))
		}
		do(os.Symlink("../../../devices/pci10000:00/"+bdf, filepath.Join(list, bdf)))
		do(os.Symlink("../../../../kernel/iommu_groups/"+fmt.Sprint(7+977*i), filepath.Join(dir, "iommu_group")))
		do(os.Symlink("../../../../devices/pci10000:00/"+bdf, filepath.Join(group, bdf)))
	}
	odd := func(i int, name string) string {
		file := filepath.Join(root, "sys/devices/pci10000:00", addresses[i], name)
		do(os.RemoveAll(file))
		return file
	}
	do(os.Symlink(secret, odd(3, "vendor")))
	do(os.Symlink("../../../../../../../../../../../../../.."+secret, odd(4, "driver_override")))
	do(os.Symlink(filepath.Dir(secret), odd(5, "driver")))
	do(os.WriteFile(odd(9, "resource"), bytes.Repeat([]byte("0x00000000a0000000 "), 60000), 0o600))
	do(os.WriteFile(odd(10, "class"), bytes.Repeat([]byte{'3'}, 1<<20), 0o600))
	do(os.WriteFile(odd(17, "device"), []byte("\x00\xff\xfe\x1b[2J\n\n"), 0o600))
	do(os.WriteFile(odd(18, "config"), bytes.Repeat([]byte{0xff, 0, 0x1b}, 4096), 0o600))
	do(syscall.Mkfifo(odd(25, "power_state"), 0o600))
	do(os.Mkdir(odd(26, "vendor"), 0o755))
	do(os.Mkdir(filepath.Join(list, "ffff:ff:1f.9"), 0o755))
	do(os.WriteFile(filepath.Join(list, "\x1b[31m"), nil, 0o600))
	do(os.Symlink("loop", filepath.Join(list, "loop")))
	return root, addresses
}

// unread are the functions whose IDs or class cannot be read.
var unread = map[int]bool{3: true, 10: true, 17: true, 26: true}

func TestAHostileTreeOnDiskHidesNothingAndLeaksNothing(t *testing.T) {
	root, addresses := hostileDisk(t)
	file := filepath.Join(t.TempDir(), "captured.txt")
	captured, _, complaint := run(t, "", "capture", "-o", file, "--root", root)
	if captured != fault.ExitOK {
		t.Fatalf("exit %d: %s", captured, complaint)
	}
	for _, root := range []string{root, file} {
		_, list, complaint := run(t, "", "list", "-o", "json", "--root", root)
		var view listView
		if err := json.Unmarshal([]byte(list), &view); err != nil {
			t.Fatal(err, complaint)
		}
		for i, bdf := range addresses {
			if !unread[i] && !strings.Contains(list, `"`+bdf+`"`) {
				t.Errorf("%s: %s is hidden", filepath.Base(root), bdf)
			}
		}
		_, check, complaint := run(t, "", "check", "-o", "json", "--root", root)
		var report hostcheck.Report
		if err := json.Unmarshal([]byte(check), &report); err != nil || len(report.Cards) != 5 {
			t.Errorf("%s: %d cards are judged, %v: %s", filepath.Base(root), len(report.Cards), err, complaint)
		}
		for _, card := range report.Cards {
			if card.Group%977 != 7 {
				t.Errorf("%s is in group %d", card.BDF, card.Group)
			}
		}
		if strings.Contains(list+check, "canary") {
			t.Error("what is outside the root came out")
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hosttree.Parse(data); err != nil || bytes.Contains(data, []byte("canary")) || len(data) > 1<<20 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}
