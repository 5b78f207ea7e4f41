// Package qemu finds QEMU for the tests that boot real kernels, and gives it a card with
// NVIDIA's vendor ID.
package qemu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Emulator is a QEMU.
type Emulator struct {
	Path string
	Args []string // arguments with which a copy finds its files
	Env  []string
	// Why is the reason if its cards do not have NVIDIA's ID; "" if they have.
	Why string
}

// QEMU has no NVIDIA card, but it has bochs-display, a display device with a Linux
// driver. In a private copy of QEMU, this device gets the ID and class of a T4.
var (
	bochsID  = []byte{0x34, 0x12, 0x11, 0x11} // 1234:1111 in QEMU's program
	teslaID  = []byte{0xde, 0x10, 0xb8, 0x1e} // 10de:1eb8
	setClass = []byte{0xba, 0x80, 0x03, 0, 0} // mov $0x380,%edx: "other display controller"
	set3D    = []byte{0xba, 0x02, 0x03, 0, 0} // mov $0x302,%edx: "3D controller"
)

// nearby is the maximum distance in QEMU's code between setting class and vendor.
const nearby = 48

// Find finds QEMU and makes the copy in dir. If that is not possible, the machines get
// QEMU's unchanged cards. The cards are bochs-display devices.
func Find(dir string) (*Emulator, error) {
	path, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := patch(program); err != nil {
		return &Emulator{Path: path, Why: err.Error()}, nil
	}
	file := filepath.Join(dir, "qemu")
	e := &Emulator{
		Path: file, Args: []string{"-L", "/usr/share/seabios", "-L", "/usr/share/qemu"},
		Env: []string{"QEMU_MODULE_DIR=/usr/lib/x86_64-linux-gnu/qemu"},
	}
	return e, os.WriteFile(file, program, 0o700)
}

// patch changes the program only if the place is unambiguous: the ID must occur once,
// and exactly one piece of code must set the class and then read that ID.
func patch(program []byte) error {
	if n := bytes.Count(program, bochsID); n != 1 {
		return fmt.Errorf("%d places of QEMU look like the ID of bochs-display, not 1", n)
	}
	id := bytes.Index(program, bochsID)
	class := -1
	for at := 0; ; at++ {
		next := bytes.Index(program[at:], setClass)
		if next < 0 {
			break
		}
		if at += next; !refers(program, at+len(setClass), id) {
			continue
		}
		if class >= 0 {
			return errors.New("several places of QEMU look like the class of bochs-display")
		}
		class = at
	}
	if class < 0 {
		return errors.New("no place of QEMU looks like the class of bochs-display")
	}
	copy(program[id:], teslaID)
	copy(program[class:], set3D)
	return nil
}

// refers reports whether code shortly after a place reads the data at target. The code
// contains the distance from the end of the instruction.
func refers(program []byte, from, target int) bool {
	for at := from; at < from+nearby && at+4 <= len(program); at++ {
		if distance := int32(binary.LittleEndian.Uint32(program[at:])); at+4+int(distance) == target {
			return true
		}
	}
	return false
}
