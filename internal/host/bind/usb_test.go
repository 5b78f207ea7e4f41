package bind

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/sim/sysfsim"
)

// TestDevicesOnTheCardsUSB: some cards have a USB controller with a port for
// headsets. Devices that the host needs are a reason to refuse; for the others
// there is a note.
func TestDevicesOnTheCardsUSB(t *testing.T) {
	keyboard := func(t sysfsim.Tree) { t.USB(four+".2", "3-1", "046d:c31c", "USB Keyboard", "03/01", "03/00") }
	adapter := func(t sysfsim.Tree) {
		t.USB(four+".2", "3-2", "10c4:ea60", "CP2102 USB to UART", "ff/00")
		t.Below(four+".2", "usb3/3-2/3-2:1.0/ttyUSB0", "tty", "ttyUSB0")
	}
	for name, test := range map[string]struct {
		host    []func(sysfsim.Tree)
		options Options
		note    string
		id      string // of the refusal; "" for none
		says    string
	}{
		"nothing":    {},
		"a keyboard": {host: []func(sysfsim.Tree){keyboard}, note: "USB keyboard 3-1 (046d:c31c, USB Keyboard) is connected to 0000:02:00.2 and leaves the host together with the card"},
		"a keyboard that somebody reads": {host: []func(sysfsim.Tree){keyboard, func(t sysfsim.Tree) { t.Process(400, "systemd-logind", "/dev/input/event3") }},
			note: "USB keyboard 3-1"},
		"a keyboard that says nothing of itself": {host: []func(sysfsim.Tree){func(t sysfsim.Tree) {
			t.Symlink("sys/bus/usb/devices/3-1", "../../../devices/pci0000:00/0000:00:01.1/"+four+".2/usb3/3-1")
			t.Mkdir("sys/devices/pci0000:00/0000:00:01.1/" + four + ".2/usb3/3-1")
		}}, note: "USB device 3-1 is connected to 0000:02:00.2 and leaves the host"},
		"a headset, with microphone and keys": {host: []func(sysfsim.Tree){func(t sysfsim.Tree) { t.USB(four+".2", "3-3", "0b05:1234", "Headset", "01/00", "01/00", "03/00") }},
			note: "USB sound 3-3 (0b05:1234, Headset)"},
		"a hub": {host: []func(sysfsim.Tree){func(t sysfsim.Tree) {
			t.USB(four+".2", "3-1", "05e3:0610", "Hub", "09/00")
			t.WriteFile("sys/bus/usb/devices/3-1/bDeviceClass", []byte("09\n"))
		}}},
		"a keyboard of the board":                       {host: []func(sysfsim.Tree){func(t sysfsim.Tree) { t.USB("0000:05:00.0", "1-1", "046d:c31c", "USB Keyboard", "03/01") }}},
		"a serial adapter":                              {host: []func(sysfsim.Tree){adapter}, note: "USB device 3-2 (10c4:ea60, CP2102 USB to UART)"},
		"a serial adapter that somebody has open":       {host: []func(sysfsim.Tree){adapter, func(t sysfsim.Tree) { t.Process(812, "agetty", "/dev/ttyUSB0") }}, note: "USB device 3-2", id: "HELD", says: "process 812 (agetty) has /dev/ttyUSB0 open"},
		"the same at the next boot, which is said":      {host: []func(sysfsim.Tree){adapter, func(t sysfsim.Tree) { t.Process(812, "agetty", "/dev/ttyUSB0") }}, options: Options{AtNextBoot: true}, note: "USB device 3-2"},
		"a serial adapter that is the kernel's console": {host: []func(sysfsim.Tree){adapter, console}, note: "USB device 3-2", id: "IN-USE-BELOW", says: "serial line ttyUSB0, which is a console of the kernel"},
		"the same at the next boot":                     {host: []func(sysfsim.Tree){adapter, console}, options: Options{AtNextBoot: true}, note: "USB device 3-2", id: "IN-USE-BELOW"},
		"a telephone whose files are mounted": {host: []func(sysfsim.Tree){func(t sysfsim.Tree) {
			t.USB(four+".2", "3-4", "18d1:4ee1", "Pixel", "06/01")
			t.Process(900, "jmtpfs", "/dev/bus/usb/003/002")
		}}, id: "HELD", says: "process 900 (jmtpfs) has /dev/bus/usb/003/002 open", note: "USB camera or telephone 3-4"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := sysfsim.Common()
			for _, change := range test.host {
				change(tree)
			}
			w := newTestHost(t, tree)
			p, err := w.machine().PlanBind(t.Context(), pci.MustBDF(four+".0"), test.options)
			if err != nil {
				t.Fatal(err)
			}
			told := slices.DeleteFunc(slices.Clone(p.Notes), func(note string) bool { return !strings.Contains(note, "USB") })
			if (len(told) > 0) != (test.note != "") || test.note != "" && !strings.Contains(told[0], test.note) {
				t.Errorf("it is said: %q", told)
			}
			err = w.machine().Apply(t.Context(), p)
			var refused *RefusedError
			if test.id == "" && err != nil || test.id != "" && (!errors.As(err, &refused) || refused.Reasons[0].ID != test.id || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("want %q, got %v", test.id, err)
			}
		})
	}
}

func console(t sysfsim.Tree) {
	t.WriteFile("proc/consoles", []byte("tty0                 -WU (EC p  )    4:1\nttyUSB0              -W- (E  p  )  188:0\n"))
	t.Symlink("sys/class/tty/tty0", "../../devices/virtual/tty/tty0")
}
