package pvesim

import (
	"encoding/binary"
	"errors"
	"strings"
)

// A reader of ISO 9660 images with the names of Rock Ridge, for the files of the root
// directory. It shares no code with the writer of the seeds. Sources: ECMA-119, SUSP and
// RRIP (IEEE P1281 and P1282).

const (
	isoSector   = 2048
	maxISOFiles = 64
)

var errNotISO = errors.New("not an ISO 9660 image, or one that is damaged")

// isoImage is what a guest sees of an image.
type isoImage struct {
	label string
	files map[string]string
	size  int // of all files; overlapping ones must not add up to more than the image
}

// parseISO reads the label and the files of the root directory.
func parseISO(data []byte) (isoImage, error) {
	volume, err := isoExtent(data, 16, isoSector)
	if err != nil || string(volume[1:6]) != "CD001" || volume[0] != 1 {
		return isoImage{}, errNotISO
	}
	image := isoImage{label: strings.TrimRight(string(volume[40:72]), " \x00"), files: map[string]string{}}
	root := volume[156:190]
	directory, err := isoExtent(data, binary.LittleEndian.Uint32(root[2:]), binary.LittleEndian.Uint32(root[10:]))
	if err != nil || len(directory) > 1<<20 {
		return isoImage{}, errNotISO
	}
	for at := 0; at < len(directory); {
		length := int(directory[at])
		if length == 0 { // records do not cross sectors
			at = (at/isoSector + 1) * isoSector
			continue
		}
		if length < 34 || at+length > len(directory) || len(image.files) >= maxISOFiles {
			return isoImage{}, errNotISO
		}
		if err := image.add(data, directory[at:at+length]); err != nil {
			return isoImage{}, err
		}
		at += length
	}
	return image, nil
}

// isoExtent returns a range of the image that begins at a sector.
func isoExtent(data []byte, sector, size uint32) ([]byte, error) {
	start := int64(sector) * isoSector
	end := start + int64(size)
	if end > int64(len(data)) {
		return nil, errNotISO
	}
	return data[start:end], nil
}

// add adds the file of a directory record; directories are left out.
func (i *isoImage) add(data, record []byte) error {
	nameLength := int(record[32])
	if 33+nameLength > len(record) {
		return errNotISO
	}
	const isDirectory = 2
	if record[25]&isDirectory != 0 {
		return nil
	}
	content, err := isoExtent(data, binary.LittleEndian.Uint32(record[2:]), binary.LittleEndian.Uint32(record[10:]))
	if err != nil {
		return err
	}
	name := rockRidgeName(record[min(len(record), 33+nameLength+1-nameLength%2):])
	if name == "" {
		plain, _, _ := strings.Cut(string(record[33:33+nameLength]), ";")
		name = strings.ToLower(strings.TrimSuffix(plain, "."))
	}
	if i.size += len(content); i.size > len(data) {
		return errNotISO
	}
	i.files[name] = string(content)
	return nil
}

// rockRidgeName joins the NM entries of a record; "" if there are none.
func rockRidgeName(area []byte) string {
	name := ""
	for len(area) >= 4 {
		length := int(area[2])
		if length < 4 || length > len(area) {
			return name
		}
		if string(area[:2]) == "NM" && length > 5 {
			name += string(area[5:length])
		}
		area = area[length:]
	}
	return name
}
