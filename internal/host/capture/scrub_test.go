package capture

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	hostbind "github.com/gpuworker/gpuworker/internal/host/bind"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// secrets are texts that identify a machine or a person, each with the part that
// must not be in a capture.
var secrets = []struct{ form, part string }{
	{"fd12:dead:beef::c0fe:1", "dead:beef"},
	{"[2a01:4f8:dead:beef:1:2:3:4]:8006", "dead:beef"},
	{"fe80::dead:beef%eno1", "dead:beef"},
	{"10.99.88.77", "99.88"},
	{"de:ad:be:ef:ca:fe", "ef:ca"},
	{"DE-AD-BE-EF-CA-FE", "EF-CA"},
	{"00:11:22:33:de:ad:be:ef", "be:ef"},
	{"6f9619ff-8b86-d011-b42d-00c04fc964ff", "6f9619ff"},
	{"enxdeadbeefcafe", "deadbeef"},
	{"wlxdeadbeefcafe", "deadbeef"},
	{"/dev/mapper/canaryvg-root", "canary"},
	{"/dev/disk/by-id/nvme-SAMSUNG_canary123", "canary"},
	{"https://user:canarypw@example.org/", "canary"},
	{"canary.person@example.org", "canary"},
	{"password=canarypw", "canary"},
	{"serial=canary5f00", "canary"},
	{"Serial Number: canary5f00", "canary"},
}

// everywhere returns a tree with this text in each file that a capture reads.
func everywhere(text string) *hosttree.Archive {
	tree := hosttree.NewArchive()
	put := func(name, before, after string) { tree.WriteFile(name, []byte(before+text+after+"\n")) }
	const release = "6.8.12-4-pve"
	tree.WriteFile("proc/sys/kernel/osrelease", []byte(release+"\n"))
	tree.Mkdir("sys/bus/pci/devices")
	put("proc/cmdline", "BOOT_IMAGE=/vmlinuz intel_iommu=on root=", " quiet")
	put("etc/kernel/cmdline", "intel_iommu=on resume=", " quiet")
	put("etc/default/grub", "# by ", "\nGRUB_CMDLINE_LINUX=\"intel_iommu=on root="+text+"\"\nGRUB_X="+text)
	put("etc/default/grub.d/x.cfg", "GRUB_CMDLINE_LINUX_DEFAULT='quiet ip=", "'")
	put("boot/grub/grub.cfg", "\tlinux /vmlinuz-"+release+" root=", " quiet")
	put("boot/loader/entries/x.conf", "title "+text+"\noptions root=", " quiet")
	put("etc/modprobe.d/x.conf", "# by ", "\noptions wifi psk="+text+"\ninstall x /bin/sh -c "+text)
	put("etc/modules", "vfio # ", "")
	put("etc/modules-load.d/x.conf", "# ", "\nvfio_pci")
	put("etc/initramfs-tools/modules", "# ", "")
	put("etc/driverctl.d/0000:01:00.0", "vfio-pci\n", "")
	put("etc/os-release", "ID=debian\nHOME_URL=", "")
	put("proc/interrupts", "           CPU0\n  9:   1 IR-IO-APIC 9-fasteoi ", "")
	put("var/log/kern.log", "2026-11-22T12:00:00 canaryhost kernel: [1.0] DMAR: ", " iommu")
	put("var/log/dmesg", "[1.0] Kernel command line: iommu=pt root=", "\n[1.0] vfio-pci 0000:01:00.0: "+text)
	put("etc/pve/qemu-server/100.conf", "#", "\nname: "+text+"\nnet0: virtio="+text+"\nargs: -smbios "+text+"\nhostpci0: 0000:01:00")
	put("etc/pve/mapping/pci.cfg", "t4\n\tdescription ", "\n\tmap node=canaryhost,path=0000:01:00.0,id=10de:1eb8,description="+text)
	put("etc/kernel/proxmox-boot-uuids", "", "")
	put("proc/iomem", "00000000-00000fff : ", "")
	put("proc/77/comm", "", "")
	put("proc/77/cmdline", "", "")
	put("proc/driver/nvidia/gpus/0000:01:00.0/information", "GPU UUID: ", "")
	put("run/qemu-server/pci-id-reservations", "0000:01:00.0 100 pid:1 ", "")
	put("etc/gpuworker-host/boot", "#!/bin/sh\n# ", "")
	put("etc/gpuworker-host/cards/0000:01:00.card", "gpuworker-host card 1\nserial ", "")
	put("etc/hostname", "", "")
	put("proc/sys/kernel/hostname", "", "")
	put("etc/network/interfaces", "address ", "")
	tree.WriteFile("var/lib/gpuworker-host/journal/0000:02:00.json", hostbind.FormatJournal(journalWith(text)))
	return tree
}

func journalWith(text string) *hostbind.Journal {
	bdf := pci.MustBDF("0000:02:00.0")
	return &hostbind.Journal{
		Card: hostbind.Card{Slot: bdf.Slot, Serial: "deadbeef", Functions: []hostbind.CardPart{{BDF: bdf, ID: pci.MustID("10de:1eb8"), Subsystem: pci.MustID("10de:12a2"), Class: 0x030200, Path: "pci0000:00/x"}}},
		Goal: hostbind.Bound, Before: []hostbind.Before{{BDF: bdf}}, Doing: "run x", Wrong: "run update-initramfs: it failed for " + text + "; it printed: " + text,
		Since: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
	}
}

func TestNoSecretIsInACapture(t *testing.T) {
	for _, secret := range secrets {
		tree := everywhere(secret.form)
		captured, err := Capture(tree, Options{KernelLog: []byte("[1.0] DMAR: " + secret.form + "\n"), Taken: "2026-11-22T12:00:00Z"})
		if err != nil {
			t.Fatal(err)
		}
		text := captured.Format()
		for _, part := range []string{secret.part, "canaryhost", "deadbeef"} {
			if i := bytes.Index(bytes.ToLower(text), []byte(strings.ToLower(part))); i >= 0 {
				t.Errorf("of %q this is in the capture: …%s…", secret.form, text[max(0, i-80):min(len(text), i+60)])
			}
		}
		for _, kept := range []string{"intel_iommu=on", "vfio-pci 0000:01:00.0: ", "ID=debian", "IR-IO-APIC", "hostpci0: 0000:01:00", "DMAR: "} {
			if !bytes.Contains(text, []byte(kept)) {
				t.Errorf("with %q, %q is lost", secret.form, kept)
			}
		}
	}
}

// Names of files and links can identify a machine too: those of boot loader entries
// contain its machine-id, those of virtual interfaces the names of networks, and the
// path of a kernel on ZFS the name of a dataset.
func TestNoFileNameIdentifiesAMachine(t *testing.T) {
	const machine, release = "0123456789abcdef0123456789abcdef", "6.8.12-4-pve"
	tree := everywhere("x")
	tree.WriteFile("boot/loader/entries/"+machine+"-"+release+".conf", []byte("title x\nlinux /"+machine+"/"+release+"/linux\noptions intel_iommu=on\n"))
	tree.WriteFile("boot/grub/grub.cfg", []byte("\tlinux /canaryset/ROOT/pve-1@/boot/vmlinuz-"+release+" root=ZFS=canaryset ro intel_iommu=on\n"))
	tree.Symlink("sys/class/net/canarylan", "../../devices/virtual/net/canarylan")
	tree.Symlink("sys/class/net/eno1", "../../devices/pci0000:00/0000:00:01.0/net/eno1")
	captured, err := Capture(tree, Options{})
	if err != nil {
		t.Fatal(err)
	}
	text := string(captured.Format())
	for _, part := range []string{machine, "canary"} {
		if i := strings.Index(text, part); i >= 0 {
			t.Errorf("this is in the capture: …%s…", text[max(0, i-80):min(len(text), i+60)])
		}
	}
	for _, kept := range []string{"-" + release + ".conf --", "vmlinuz-" + release + " root=removed ro intel_iommu=on", "sys/class/net/eno1 ->"} {
		if !strings.Contains(text, kept) {
			t.Errorf("%q is lost", kept)
		}
	}
}

func TestKnownOptionsStayInACommandLine(t *testing.T) {
	for line, want := range map[string]string{
		"BOOT_IMAGE=/vmlinuz root=/dev/mapper/canary-root ro quiet intel_iommu=on iommu=pt": "BOOT_IMAGE=removed root=removed ro quiet intel_iommu=on iommu=pt",
		`initrd=\EFI\proxmox\canary\initrd.img root=ZFS=canary/ROOT vfio-pci.ids=10de:1eb8`: `initrd=\removed root=removed vfio-pci.ids=10de:1eb8`,
		`dyndbg="file drivers/* +p" ip=10.0.0.1::10.0.0.254:255.0.0.0:canary:eno1:off`:      `dyndbg="file drivers/* +p" ip=removed`,
		"canary amd_iommu=off modprobe.blacklist=nouveau -- canary=1":                       "amd_iommu=off modprobe.blacklist=nouveau",
		"$GRUB_CMDLINE_LINUX ${X} pcie_acs_override=downstream nointremap":                  "$GRUB_CMDLINE_LINUX ${X} pcie_acs_override=downstream nointremap",
		`"canary with blanks" "canary=x y" ca=n=ary`:                                        `"canary=removed ca=removed`,
	} {
		if got := options(line); got != want {
			t.Errorf("%s\nbecame %s\nwant   %s", line, got, want)
		}
	}
}

func TestModuleOptionsKeepNamesAndKnownValues(t *testing.T) {
	for line, want := range map[string]string{
		"options vfio-pci ids=10de:1eb8,10de:2204 disable_vga=1":                   "options vfio-pci ids=10de:1eb8,10de:2204 disable_vga=1",
		"options vfio_iommu_type1 allow_unsafe_interrupts=1":                       "options vfio_iommu_type1 allow_unsafe_interrupts=1",
		`options nvidia NVreg_RegistryDwords="canary=1; more" NVreg_canary-key=ab`: "options nvidia NVreg_RegistryDwords=removed NVreg_canary-key=removed",
		"options kvm ignore_msrs=1 secret_of=canary":                               "options kvm ignore_msrs=1 secret_of=removed",
		"options kvm ignore_msrs=can\x1bary canary":                                "options kvm ignore_msrs=removed",
		"options wifi key=with canary=in it":                                       "options wifi key=removed canary=removed",
		"options wifi key=with a canary=in it":                                     "options wifi key=removed",
		"\toptions\t wifi  psk=canary":                                             "options wifi psk=removed",
		"options wifi psk=canary":                                                  "options wifi psk=removed",
		"options pcitoken key='canary with words' =canary ca\x1b=x":                "options pcitoken key=removed",
	} {
		got := string(newScrubber().modprobe([]byte(line + "\n")))
		if strings.TrimSuffix(got, "\n") != want {
			t.Errorf("%q\nbecame %q\nwant   %q", line, got, want)
		}
	}
	for line, want := range map[string]string{
		"nvidia.NVreg_x=canary vfio-pci.ids=10de:1eb8 kvm.token=canary i915.modeset=0 zfs.zfs_arc_max=1073741824": "nvidia.NVreg_x=removed vfio-pci.ids=10de:1eb8 kvm.token=removed i915.modeset=0 zfs.zfs_arc_max=1073741824",
	} {
		if got := options(line); got != want {
			t.Errorf("%q\nbecame %q\nwant   %q", line, got, want)
		}
	}
}

// People read a capture, so it must not contain control characters for a terminal.
func TestACaptureIsPlainText(t *testing.T) {
	const evil = "\x1b[8m\x1b]0;x\a\u009b2J\u202e\u200b\x00\xff\x7f"
	tree := everywhere(evil + " iommu=pt " + evil)
	const card = "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0"
	tree.Symlink("sys/bus/pci/devices/0000:01:00.0", "../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0")
	for _, name := range append(slices.Clone(attributes), "class", "vendor") {
		tree.WriteFile(card+"/"+name, []byte(evil+"\n"))
	}
	tree.Symlink(card+"/driver", "../../../../bus/pci/drivers/x"+evil)
	tree.Mkdir("sys/bus/pci/drivers/x" + evil)
	tree.Mkdir("sys/class/iommu/x" + evil)
	tree.WriteFile("usr/share/misc/pci.ids", []byte("10de  N"+evil+"\n\t1eb8  T"+evil+"\n"))
	tree.WriteFile("etc/modules-load.d/x"+evil+".conf", []byte("vfio\n"))
	tree.WriteFile("lib/modules/6.8.12-4-pve/modules.dep", []byte("kernel/drivers/vfio"+evil+".ko:\n"))
	tree.Symlink("proc/77/fd/9", "/dev/nvidia0")
	tree.WriteFile("proc/77/comm", []byte("kvm"+evil+"\n"))
	tree.WriteFile("proc/driver/nvidia/gpus/0000:01:00.0/information", []byte("Model: "+evil+"\nDevice Minor: 0\n"))
	captured, err := Capture(tree, Options{KernelLog: []byte("DMAR: " + evil + "\n"), Images: map[string]hostbind.Listing{}})
	if err != nil {
		t.Fatal(err)
	}
	text := string(captured.Format())
	for line := range strings.Lines(text) {
		if strings.ContainsFunc(line, func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }) || !utf8.ValidString(line) {
			t.Errorf("%q", line)
		}
	}
	if !strings.Contains(text, "DMAR: ") || !strings.Contains(text, "iommu=pt") {
		t.Error("what matters is lost")
	}
}

func TestACapturedJournalIsValidAndOfTheSameBoot(t *testing.T) {
	const boot = "0b2a5c1e-5b0c-4f0e-9d6b-1c2d3e4f5a6b"
	tree := everywhere("x")
	j := journalWith("x")
	j.Stuck = &hostbind.Stuck{Step: "unbind", BootID: boot}
	tree.WriteFile("var/lib/gpuworker-host/journal/0000:02:00.json", hostbind.FormatJournal(j))
	tree.WriteFile("proc/sys/kernel/random/boot_id", []byte(boot+"\n"))
	captured, err := Capture(tree, Options{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := hostbind.ReadJournal(captured, j.Card.Slot)
	if err != nil || again == nil || !again.StuckNow(hostbind.BootID(captured)) || again.Stuck.BootID == boot || again.Card.Serial != "" {
		t.Errorf("%+v, %v", again, err)
	}
}

// FuzzScrub puts a secret between any texts: it must never be in the capture.
func FuzzScrub(f *testing.F) {
	f.Add("a=", " b", uint8(0))
	f.Add("serial \"", "\" # x", uint8(4))
	f.Add("\\", "\\\n", uint8(10))
	f.Add("0:", ":1", uint8(3))
	f.Fuzz(func(t *testing.T, before, after string, which uint8) {
		secret := secrets[int(which)%len(secrets)]
		// Binary content is written as hexadecimal digits, which may look like the secret.
		if strings.Contains(hex.EncodeToString([]byte(before+"\n"+after)), strings.ToLower(secret.part)) {
			return
		}
		// A secret that is joined to other letters is another word and cannot be
		// recognized. The text around it must not contain the secret either.
		const edges = " \t=\"',;()[]\n"
		glued := before != "" && !strings.ContainsAny(before[len(before)-1:], edges) || after != "" && !strings.ContainsAny(after[:1], edges)
		if glued || len(before)+len(after) > 200 || strings.Contains(strings.ToLower(before+after), strings.ToLower(secret.part)) {
			return
		}
		captured, err := Capture(everywhere(before+secret.form+after), Options{KernelLog: []byte("DMAR: " + before + secret.form + after + "\n")})
		if err != nil {
			t.Fatal(err)
		}
		text := bytes.ToLower(captured.Format())
		if i := bytes.Index(text, []byte(strings.ToLower(secret.part))); i >= 0 {
			t.Fatalf("…%s…", text[max(0, i-80):min(len(text), i+60)])
		}
		if _, err := hosttree.Parse(captured.Format()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestEachCapturedFileIsTestedWithASecret(t *testing.T) {
	tree := everywhere("x")
	untested := []string{ // written by the kernel only
		"proc/modules", "proc/meminfo", "proc/uptime", "proc/spl/", "sys/", "etc/pve/.version", "proc/consoles",
	}
	alike := []string{"boot/grub2/grub.cfg", "lib/modprobe.d/", "usr/lib/", "run/modprobe.d/", "lib/modules-load.d/", "run/modules-load.d/", "proc/sys/kernel/osrelease"}
	for _, file := range files {
		begins := func(prefix string) bool { return strings.HasPrefix(file.pattern, prefix) }
		if slices.ContainsFunc(append(untested, alike...), begins) {
			continue
		}
		found := false
		(&capture{tree: tree, to: readable{hosttree.NewArchive()}}).each(file.pattern, func(name string) {
			_, err := tree.ReadFile(name)
			found = found || err == nil
		})
		if !found {
			t.Errorf("%s is kept, and no test puts a secret there", file.pattern)
		}
	}
}
