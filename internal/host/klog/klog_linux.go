// Package klog reads the log of the running kernel.
package klog

import "syscall"

// Actions of syslog(2), as glibc's sys/klog.h has no constants for them.
const (
	syslogReadAll = 3
	syslogSize    = 10
)

// Read is the log of the running kernel; nil when it may not be read
// (kernel.dmesg_restrict).
func Read() []byte {
	size, err := syscall.Klogctl(syslogSize, nil)
	if err != nil || size <= 0 {
		return nil
	}
	log := make([]byte, size)
	n, err := syscall.Klogctl(syslogReadAll, log)
	if err != nil {
		return nil
	}
	return log[:n]
}
