// Package tree reads files of a Linux host: sysfs, procfs, boot configuration. A
// tree is this machine (Dir) or a captured host (Archive), so that a user's bug
// report can become a test fixture.
//
// Names are slash-separated and relative to the root: "sys/class/iommu".
// Symbolic links are followed inside the root and never out of it. Errors are
// those of io/fs. fs.ErrNotExist and fs.ErrPermission are different facts: the
// first says that a file is missing, the second that it is not known.
package tree

import "errors"

// Reader is a tree that can be read.
type Reader interface {
	// ReadFile reads a file, at most MaxFile bytes of it.
	ReadFile(name string) ([]byte, error)
	// ReadDir lists the names in a directory, sorted.
	ReadDir(name string) ([]string, error)
	// Readlink returns the target of a symbolic link as written in it.
	Readlink(name string) (string, error)
}

// A capture has some data that is not from files of the host. It is stored in a
// directory that does not exist on a host.
const (
	CapturedDate   = "captured/date"      // time of the capture by the host's clock, RFC 3339
	CapturedKmsg   = "captured/kmsg"      // lines of the kernel's log
	CapturedImages = "captured/initramfs" // for each image in /boot, the files of ours that are in it
)

// Reading is limited, because a tree may be damaged or come from somebody else.
const (
	// MaxFile is the maximum number of bytes that are read from a file. The largest
	// files are the list of PCI names and modules.builtin; an attribute of sysfs has at
	// most 4 KiB.
	MaxFile = 8 << 20
	// maxNames is the maximum number of names in a directory. The largest is /proc.
	maxNames = 1 << 18
	// maxArchive is the maximum size of an archive in bytes. That of a large host has
	// one or two MiB.
	maxArchive = 32 << 20
	// maxEntries is the maximum number of files, directories and links in an archive;
	// that of a large host has about ten thousand.
	maxEntries = 1 << 17
	// maxPath is the maximum length of a path, as in the kernel (PATH_MAX).
	maxPath = 4096
)

// errNoFile says that a name is neither a file nor a directory.
var errNoFile = errors.New("it is not a regular file")
