// Package tree reads the parts of a Linux host that are files: sysfs,
// procfs, boot configuration. A tree is the machine itself (Dir) or one that was
// captured earlier (Archive): a user's bug report becomes a test's fixture.
//
// Names are slash-separated and relative to the root: "sys/class/iommu".
// Symbolic links are followed inside the root and never out of it. Errors are
// those of io/fs: fs.ErrNotExist says that something is not there,
// fs.ErrPermission that nobody could look, which is not the same.
package tree

import "errors"

// Reader is a tree that can be read.
type Reader interface {
	// ReadFile reads a file, at most MaxFile bytes of it.
	ReadFile(name string) ([]byte, error)
	// ReadDir lists the names in a directory, sorted.
	ReadDir(name string) ([]string, error)
	// Readlink is the target of a symbolic link as it is written.
	Readlink(name string) (string, error)
}

// What a capture keeps that is no file of the host stands in a directory that no
// host has.
const (
	CapturedDate   = "captured/date"      // when, by the host's clock, RFC 3339
	CapturedKmsg   = "captured/kmsg"      // lines of the kernel's log
	CapturedImages = "captured/initramfs" // for each image in /boot, which files of ours are in it
)

// What is read of a tree is bounded: it may be somebody else's, or damaged.
const (
	// MaxFile is what is read of a file, in bytes. The largest that matter are the
	// list of PCI names and modules.builtin; an attribute of sysfs has 4 KiB at most.
	MaxFile = 8 << 20
	// maxNames is what is read of a directory. The largest is that of the processes.
	maxNames = 1 << 18
	// maxArchive is the length of an archive, in bytes. That of a large host has one
	// MiB or two.
	maxArchive = 32 << 20
	// maxEntries is the number of files, directories and links of an archive; that of
	// a large host has some ten thousand.
	maxEntries = 1 << 17
	// maxPath is the length of a path, as in the kernel (PATH_MAX).
	maxPath = 4096
)

// errNoFile says that something is there and is neither file nor directory.
var errNoFile = errors.New("it is no file")
