package sysfsim

import (
	"context"
	"errors"
	"path"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func write(t *testing.T, h *Host, name, text string) error {
	t.Helper()
	return h.Write(t.Context(), name, []byte(text))
}

func override(bdf string) string { return devicesDir + "/" + bdf + "/driver_override" }

func mustWrite(t *testing.T, h *Host, name, text string) {
	t.Helper()
	if err := write(t, h, name, text); err != nil {
		t.Fatalf("%s > %s: %v", strings.TrimSpace(text), name, err)
	}
}

func mustLoad(t *testing.T, h *Host, module string) {
	t.Helper()
	if err := h.Modprobe(module); err != nil {
		t.Fatal(err)
	}
}

const (
	gpu   = TwoFunctions + ".0"
	twin  = SameMake + ".0"
	audio = TwoFunctions + ".1"
)

func TestAnOverrideMovesOneDeviceAndNotItsTwin(t *testing.T) {
	h := New(Common().Archive)
	mustLoad(t, h, "vfio-pci")
	mustWrite(t, h, override(gpu), "vfio-pci\n")
	if driver := h.Driver(gpu); driver != "nouveau" {
		t.Errorf("the override alone moved it to %q", driver)
	}
	mustWrite(t, h, devicesDir+"/"+gpu+"/driver/unbind", gpu)
	mustWrite(t, h, driversDir+"/vfio-pci/bind", gpu)
	target, err := h.Readlink(devicesDir + "/" + gpu + "/driver")
	if err != nil || path.Base(target) != "vfio-pci" {
		t.Errorf("the driver link leads to %q, %v", target, err)
	}
	if data, err := h.ReadFile(devicesDir + "/" + gpu + "/driver/bind"); err != nil {
		t.Errorf("the link leads nowhere: %q, %v", data, err)
	}
	if data, err := h.ReadFile(driversDir + "/vfio-pci/" + gpu + "/vendor"); err != nil || string(data) != "0x10de\n" {
		t.Errorf("the driver's link to the device: %q, %v", data, err)
	}
	if h.Driver(twin) != "nouveau" || h.Driver(audio) != "snd_hda_intel" {
		t.Errorf("the twin is on %q, the sound on %q", h.Driver(twin), h.Driver(audio))
	}
	if _, err := h.ReadFile("dev/vfio/10"); err != nil {
		t.Errorf("no file of the group: %v", err)
	}
	mustWrite(t, h, driversDir+"/vfio-pci/unbind", gpu)
	if _, err := h.ReadFile("dev/vfio/10"); err == nil {
		t.Error("the file of the group stays without a device")
	}
}

func TestWritesThatTheKernelRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		name, text string
		want       error
	}{
		"a driver that does not match":                {driversDir + "/igb/bind", gpu, syscall.ENODEV},
		"vfio-pci without an override":                {driversDir + "/vfio-pci/bind", gpu, syscall.ENODEV},
		"a device that has a driver":                  {driversDir + "/nouveau/bind", gpu, syscall.EBUSY},
		"a device that is not there":                  {driversDir + "/nouveau/bind", "0000:99:00.0", syscall.ENODEV},
		"an unbind from a driver that has it not":     {driversDir + "/igb/unbind", gpu, syscall.ENODEV},
		"drivers_probe of a device that is not there": {"sys/bus/pci/drivers_probe", "0000:99:00.0", syscall.ENODEV},
		"an override longer than a page":              {override(gpu), strings.Repeat("x", 4095), syscall.EINVAL},
		"half an ID":                                  {driversDir + "/vfio-pci/new_id", "10de", syscall.EINVAL},
		"an attribute that is only read":              {devicesDir + "/" + gpu + "/vendor", "0x10de", syscall.EACCES},
	} {
		t.Run(name, func(t *testing.T) {
			h := New(Common().Archive)
			mustLoad(t, h, "vfio-pci")
			if err := write(t, h, test.name, test.text); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if h.Driver(gpu) != "nouveau" {
				t.Errorf("it is bound all the same, to %q", h.Driver(gpu))
			}
		})
	}
}

func TestWithoutAnIOMMUVFIOTakesNothing(t *testing.T) {
	h := New(NewTree().Add(Function{BDF: "0000:01:00.0", ID: "10de:1eb8", Class: "0x030200", Group: -1}).Archive)
	mustLoad(t, h, "vfio-pci")
	mustWrite(t, h, override("0000:01:00.0"), "vfio-pci\n")
	if err := write(t, h, driversDir+"/vfio-pci/bind", "0000:01:00.0"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("got %v", err)
	}
}

func TestAnOverrideOfAnotherDriverKeepsAllOthersAwayInSilence(t *testing.T) {
	h := New(Common().Archive)
	mustWrite(t, h, driversDir+"/nouveau/unbind", gpu)
	mustWrite(t, h, override(gpu), "pci-stub\n")
	mustWrite(t, h, "sys/bus/pci/drivers_probe", gpu) // no error, although no driver matches
	if driver := h.Driver(gpu); driver != "" {
		t.Errorf("it is on %q", driver)
	}
	if err := write(t, h, driversDir+"/nouveau/bind", gpu); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("bind: %v", err)
	}
	if h.Override(gpu) != "pci-stub" {
		t.Error("the override did not survive the bind that failed")
	}
	mustWrite(t, h, override(gpu), "\n")
	if data, err := h.ReadFile(override(gpu)); err != nil || string(data) != "(null)\n" {
		t.Errorf("a line feed leaves %q, %v", data, err)
	}
	mustWrite(t, h, "sys/bus/pci/drivers_probe", gpu)
	if driver := h.Driver(gpu); driver != "nouveau" {
		t.Errorf("it is on %q", driver)
	}
}

func TestNewIDTakesTheTwinToo(t *testing.T) {
	h := New(Common().Archive)
	mustLoad(t, h, "vfio_pci")
	mustWrite(t, h, driversDir+"/nouveau/unbind", gpu)
	mustWrite(t, h, driversDir+"/nouveau/unbind", twin)
	mustWrite(t, h, driversDir+"/vfio-pci/new_id", "10de 1b80")
	if h.Driver(gpu) != "vfio-pci" || h.Driver(twin) != "vfio-pci" {
		t.Errorf("they are on %q and %q", h.Driver(gpu), h.Driver(twin))
	}
	if err := write(t, h, driversDir+"/vfio-pci/new_id", "10de 1b80"); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("a second time: %v", err)
	}
}

func TestAnUnbindWaitsForWhoeverUsesTheDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Common().Archive)
		h.Use(gpu, true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := h.Write(ctx, driversDir+"/nouveau/unbind", []byte(gpu)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		h.Use(gpu, false) // too late
		if err := h.Write(ctx, override(gpu), []byte("vfio-pci\n")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the device is locked, and a write to it returned: %v", err)
		}
		if _, err := h.ReadFile(override(gpu)); err == nil || h.HungReads() != 1 {
			t.Errorf("a read of the override came back: %v, %d", err, h.HungReads())
		}
		if driver := h.Driver(gpu); driver != "nouveau" {
			t.Errorf("it is on %q", driver)
		}
		h.Reboot(nil)
		mustWrite(t, h, driversDir+"/nouveau/unbind", gpu)
	})
}

func TestFaultsHitTheWriteThatTheyName(t *testing.T) {
	h := New(Common().Archive)
	h.AddFault(Fault{Path: "/unbind", Nth: 2, Err: syscall.EBUSY})
	h.AddFault(Fault{Path: "driver_override", Times: 1})
	mustWrite(t, h, override(gpu), "vfio-pci\n")
	if h.Override(gpu) != "" {
		t.Error("a write that is ignored was done")
	}
	mustWrite(t, h, override(gpu), "vfio-pci\n")
	mustWrite(t, h, driversDir+"/nouveau/unbind", gpu)
	if err := write(t, h, driversDir+"/nouveau/unbind", twin); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("the second unbind: %v", err)
	}
	h.Repair()
	mustWrite(t, h, driversDir+"/nouveau/unbind", twin)
	if h.Override(gpu) != "vfio-pci" || len(h.Writes()) != 5 {
		t.Errorf("override %q after %v", h.Override(gpu), h.Writes())
	}
}

func TestAfterAPowerLossNothingAnswersUntilTheReboot(t *testing.T) {
	h := New(Common().Archive)
	boot, _ := h.ReadFile("proc/sys/kernel/random/boot_id")
	mustWrite(t, h, override(gpu), "vfio-pci\n")
	h.AddFault(Fault{PowerLoss: true, After: true})
	if err := write(t, h, driversDir+"/nouveau/unbind", gpu); !errors.Is(err, ErrPowerLost) {
		t.Fatal(err)
	}
	_, read := h.ReadFile(override(gpu))
	_, list := h.ReadDir(devicesDir)
	_, link := h.Readlink(devicesDir + "/" + twin + "/driver")
	for _, err := range []error{read, list, link, write(t, h, override(gpu), "\n"), h.Modprobe("vfio-pci")} {
		if !errors.Is(err, ErrPowerLost) {
			t.Errorf("got %v", err)
		}
	}
	early := ""
	h.Reboot(func() { early = h.Driver(twin) })
	if h.Driver(gpu) != "nouveau" || h.Override(gpu) != "" || early != "" {
		t.Errorf("after the reboot it is on %q (override %q); early the twin was on %q", h.Driver(gpu), h.Override(gpu), early)
	}
	if again, _ := h.ReadFile("proc/sys/kernel/random/boot_id"); string(again) == string(boot) {
		t.Error("it is the same boot")
	}
}

func TestWhatTheBootDidEarlyTheDriversRespect(t *testing.T) {
	h := New(Common().Archive)
	h.Reboot(func() {
		mustWrite(t, h, override(gpu), "vfio-pci\n")
		mustLoad(t, h, "vfio-pci")
	})
	if h.Driver(gpu) != "vfio-pci" || h.Driver(twin) != "nouveau" {
		t.Errorf("they are on %q and %q", h.Driver(gpu), h.Driver(twin))
	}
}

func TestAModuleThatIsNotThere(t *testing.T) {
	h := New(Common().Archive)
	if err := write(t, h, driversDir+"/vfio-pci/bind", gpu); err == nil {
		t.Error("a driver that is not loaded has a bind file")
	}
	h.Forget("vfio-pci")
	if err := h.Modprobe("vfio-pci"); err == nil {
		t.Error("it was loaded")
	}
}

func TestACapturedHostBehavesToo(t *testing.T) {
	text := Common().Format()
	h, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if h.Driver(gpu) != "nouveau" {
		t.Fatalf("it is on %q", h.Driver(gpu))
	}
	mustWrite(t, h, driversDir+"/nouveau/unbind", gpu)
	if _, err := h.Readlink(devicesDir + "/" + gpu + "/driver"); err == nil {
		t.Error("the link stays")
	}
}
