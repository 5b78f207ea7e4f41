package bootstrap

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// An ISO 9660 image with Rock Ridge names, for the few files of a seed in one directory.
// Own code, because the bytes must depend on nothing but the files, and no file may be
// written anywhere: docs/adr/0021-our-own-iso-writer.md says what a library does.
// Sources: ECMA-119 (ISO 9660), SUSP 1.12 and RRIP 1.12 (IEEE P1281, P1282).

const (
	sectorSize  = 2048
	systemArea  = 16 // sectors before the first descriptor
	pathTableLE = systemArea + 2
	pathTableBE = systemArea + 3
	rootSector  = systemArea + 4

	mostFiles    = 16
	mostNameSize = 100       // so that a record has less than 255 bytes
	mostFileSize = 256 << 20 // bytes; a build of gpuworker-guest has a few MB
)

// isoFile is a file and its place in the image.
type isoFile struct {
	File
	short  string // its ISO 9660 name, which only systems without Rock Ridge show
	sector uint32
}

// iso9660 returns the image of a volume with these files.
func iso9660(label string, files []File) ([]byte, error) {
	placed, err := place(files)
	if err != nil {
		return nil, err
	}
	root := rootDirectory(placed)
	if len(root) > sectorSize {
		return nil, fmt.Errorf("the names of the files are too long together: the directory has %d bytes, but one sector has %d", len(root), sectorSize)
	}
	last := placed[len(placed)-1]
	total := last.sector + sectors(len(last.Data))
	image := make([]byte, int(total)*sectorSize)
	at := func(sector uint32) []byte { return image[int(sector)*sectorSize:] }
	copy(at(systemArea), volumeDescriptor(label, total))
	copy(at(systemArea+1), "\xffCD001\x01")
	// Both path tables have only the root: name of one byte, its sector, its parent.
	copy(at(pathTableLE), []byte{1, 0, rootSector, 0, 0, 0, 1, 0, 0, 0})
	copy(at(pathTableBE), []byte{1, 0, 0, 0, 0, rootSector, 0, 1, 0, 0})
	copy(at(rootSector), root)
	for _, f := range placed {
		copy(at(f.sector), f.Data)
	}
	return image, nil
}

func sectors(size int) uint32 { return uint32((size + sectorSize - 1) / sectorSize) }

// place gives each file its sectors. The files are sorted by their short names, as a
// directory must be.
func place(files []File) ([]isoFile, error) {
	if len(files) == 0 || len(files) > mostFiles {
		return nil, fmt.Errorf("%d files; an image has 1 to %d", len(files), mostFiles)
	}
	placed := make([]isoFile, 0, len(files))
	taken := map[string]bool{}
	for _, f := range files {
		if f.Name == "" || len(f.Name) > mostNameSize || strings.ContainsAny(f.Name, "/\x00") || len(f.Data) > mostFileSize {
			return nil, fmt.Errorf("the file %q has no fitting name, or %d bytes are too many", f.Name, len(f.Data))
		}
		placed = append(placed, isoFile{File: f, short: shortName(f.Name, taken)})
	}
	slices.SortFunc(placed, func(a, b isoFile) int { return strings.Compare(a.short, b.short) })
	next := uint32(rootSector + 1)
	for i := range placed {
		placed[i].sector = next
		next += sectors(len(placed[i].Data))
	}
	return placed, nil
}

// shortName returns a name of at most eight characters that is not taken yet.
func shortName(name string, taken map[string]bool) string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
	short := plain[:min(len(plain), 8)]
	for n := 1; taken[short]; n++ {
		short = fmt.Sprintf("%.6s%02d", plain, n)
	}
	taken[short] = true
	return short + ".;1"
}

// both32 and both16 write a number in both byte orders, as ISO 9660 has it.
func both32(n uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, n), n)
}

func both16(n uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, n), n)
}

// volumeDescriptor returns the primary volume descriptor (ECMA-119, 8.4).
func volumeDescriptor(label string, total uint32) []byte {
	d := []byte("\x01CD001\x01\x00")
	padded := func(text string, size int) { d = append(d, fmt.Sprintf("%-*.*s", size, size, text)...) }
	padded("", 32)
	padded(label, 32)
	d = append(d, make([]byte, 8)...)
	d = append(d, both32(total)...)
	d = append(d, make([]byte, 32)...)
	d = append(d, both16(1)...)
	d = append(d, both16(1)...)
	d = append(d, both16(sectorSize)...)
	d = append(d, both32(10)...) // bytes of a path table
	d = binary.LittleEndian.AppendUint32(d, pathTableLE)
	d = binary.LittleEndian.AppendUint32(d, 0)
	d = binary.BigEndian.AppendUint32(d, pathTableBE)
	d = binary.BigEndian.AppendUint32(d, 0)
	d = append(d, record("\x00", rootSector, sectorSize, true, nil)...)
	padded("", 128)
	padded("", 128)
	padded("", 128)
	padded("GPUWORKER", 128)
	padded("", 37)
	padded("", 37)
	padded("", 37)
	for range 4 { // creation, modification, expiration, effective: not given
		d = append(d, "0000000000000000\x00"...)
	}
	return append(d, 1, 0)
}

// record returns a directory record (ECMA-119, 9.1) with its system use area.
func record(name string, sector uint32, size int, directory bool, use []byte) []byte {
	r := []byte{0, 0}
	r = append(r, both32(sector)...)
	r = append(r, both32(uint32(size))...)
	r = append(r, 120, 1, 1, 0, 0, 0, 0) // always 2020-01-01 00:00:00 UTC
	flags := byte(0)
	if directory {
		flags = 2
	}
	r = append(r, flags, 0, 0)
	r = append(r, both16(1)...)
	r = append(r, byte(len(name)))
	r = append(r, name...)
	if len(r)%2 == 1 {
		r = append(r, 0)
	}
	r = append(r, use...)
	if len(r)%2 == 1 {
		r = append(r, 0)
	}
	r[0] = byte(len(r))
	return r
}

// rootDirectory returns the root directory, in one sector.
func rootDirectory(files []isoFile) []byte {
	const directory, regular = 0o040000, 0o100000
	// SP says that system use areas are in use, ER that they are those of Rock Ridge.
	self := append([]byte{'S', 'P', 7, 1, 0xbe, 0xef, 0}, posix(directory|0o555, 2)...)
	self = append(self, 'E', 'R', 18, 1, 10, 0, 0, 1)
	self = append(self, "RRIP_1991A"...)
	d := record("\x00", rootSector, sectorSize, true, self)
	d = append(d, record("\x01", rootSector, sectorSize, true, posix(directory|0o555, 2))...)
	for _, f := range files {
		use := posix(regular|f.Mode, 1)
		use = append(use, 'N', 'M', byte(5+len(f.Name)), 1, 0)
		use = append(use, f.Name...)
		d = append(d, record(f.short, f.sector, len(f.Data), false, use)...)
	}
	return d
}

// posix returns the entry PX: mode, links, and root as the owner.
func posix(mode, links uint32) []byte {
	px := []byte{'P', 'X', 36, 1}
	for _, n := range []uint32{mode, links, 0, 0} {
		px = append(px, both32(n)...)
	}
	return px
}
