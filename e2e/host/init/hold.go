//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// The requests of include/uapi/linux/vfio.h: _IO(';', 100 + n).
const (
	vfioSetIOMMU             = 0x3b66
	vfioSetContainer         = 0x3b68
	vfioGetDevice            = 0x3b6a
	vfioType1        uintptr = 1
)

// hold keeps a file open. With the address of a function, the file is a group of VFIO,
// and hold opens the function like QEMU does for a VM.
func (h *hands) hold(path, function string) error {
	group, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	h.held[path] = append(h.held[path], group)
	if function == "" {
		return nil
	}
	container, err := os.OpenFile("/dev/vfio/vfio", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	h.held[path] = append(h.held[path], container)
	fd := int32(container.Fd())
	if _, err := ioctl(group, vfioSetContainer, uintptr(unsafe.Pointer(&fd))); err != nil {
		return fmt.Errorf("put the group into a container: %w", err)
	}
	if _, err := ioctl(container, vfioSetIOMMU, vfioType1); err != nil {
		return fmt.Errorf("set the type of the IOMMU: %w", err)
	}
	name := append([]byte(function), 0)
	device, err := ioctl(group, vfioGetDevice, uintptr(unsafe.Pointer(&name[0])))
	if err != nil {
		return fmt.Errorf("open %s: %w", function, err)
	}
	h.held[path] = append(h.held[path], os.NewFile(device, function))
	return nil
}

// hide keeps a file open in a message between two sockets: it is open for the kernel,
// but no process has it (unix(7), SCM_RIGHTS).
func (h *hands) hide(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	for _, end := range ends {
		h.held[path] = append(h.held[path], os.NewFile(uintptr(end), "socket"))
	}
	err = syscall.Sendmsg(ends[0], []byte{0}, syscall.UnixRights(int(f.Fd())), nil, 0)
	return errors.Join(err, f.Close())
}

// release closes what was opened for a path, the last first.
func (h *hands) release(path string) error {
	var err error
	for i := len(h.held[path]) - 1; i >= 0; i-- {
		err = errors.Join(err, h.held[path][i].Close())
	}
	delete(h.held, path)
	return err
}

func ioctl(f *os.File, request, argument uintptr) (uintptr, error) {
	result, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, argument)
	if errno != 0 {
		return 0, errno
	}
	return result, nil
}
