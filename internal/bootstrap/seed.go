package bootstrap

import (
	"cmp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/fault"
)

// Names of the files of a seed. cloud-init looks for the first three. Source: its
// documentation of the NoCloud data source.
const (
	UserDataFile      = "user-data"
	MetaDataFile      = "meta-data"
	NetworkConfigFile = "network-config"
	ScriptFile        = "gpu-bootstrap.sh"
)

// mostUserData is the limit of user-data in bytes: that of Proxmox VE for one file of
// cicustom (PVE::QemuServer::Cloudinit), so that a rendered file can be used there too.
const mostUserData = 1 << 20

// Seed are the files from which cloud-init sets up one guest.
type Seed struct {
	UserData, MetaData []byte
	NetworkConfig      []byte // nil when the image decides
	Builds             []Build
}

// Render returns the seed for the first boot of a worker.
func Render(w Worker) (Seed, error) {
	if err := cmp.Or(w.check(), w.checkProgram()); err != nil {
		return Seed{}, err
	}
	config, err := w.userData()
	if err != nil {
		return Seed{}, err
	}
	seed, err := w.seed(config)
	if err == nil && w.Program.Delivery == v1alpha1.DeliverySeedISO {
		seed.Builds = slices.Clone(w.Program.Builds)
	}
	return seed, err
}

// Clean returns the seed that replaces the first one after the bootstrap: the same
// instance-id and network, the same user with the same public keys, and nothing in which
// a secret could be: no files, no commands, no orders, no program. The seed must stay
// attached, because without one cloud-init resets the network (canonical/cloud-init#3777).
func Clean(w Worker) (Seed, error) {
	if err := w.check(); err != nil {
		return Seed{}, err
	}
	return w.seed(mapping(w.identity()...))
}

func (w Worker) seed(config *yaml.Node) (Seed, error) {
	body, err := encode(config)
	if err != nil {
		return Seed{}, err
	}
	seed := Seed{UserData: append([]byte("#cloud-config\n"), body...)}
	if size := len(seed.UserData); size > mostUserData {
		return Seed{}, w.invalid("user-data has %d bytes, but the limit is %d; put large files on a server, and get them with a command and a checksum", size, mostUserData)
	}
	seed.MetaData, err = encode(mapping(entry{"instance-id", text(w.UUID)}, entry{"local-hostname", text(w.Name)}))
	if err != nil || len(w.NICs) == 0 {
		return seed, err
	}
	seed.NetworkConfig, err = encode(w.networkConfig())
	return seed, err
}

// File is one file of a seed.
type File struct {
	Name string
	Mode uint32 // permissions
	Data []byte
}

// Files returns the files of the ISO. Only root may read user-data.
func (s Seed) Files() []File {
	files := []File{{MetaDataFile, 0o444, s.MetaData}}
	if s.NetworkConfig != nil {
		files = append(files, File{NetworkConfigFile, 0o444, s.NetworkConfig})
	}
	files = append(files, File{UserDataFile, 0o400, s.UserData})
	for _, b := range s.Builds {
		files = append(files, File{b.FileName(), 0o555, b.Data})
	}
	return files
}

// VolumeLabel is the label by which cloud-init finds a seed.
const VolumeLabel = "cidata"

// ISO returns the seed as an image.
func (s Seed) ISO() ([]byte, error) {
	image, err := iso9660(VolumeLabel, s.Files())
	if err != nil {
		return nil, &fault.Error{Kind: fault.Invalid, Doing: "make the ISO image of a seed", Cause: err}
	}
	return image, nil
}

// blankLabel is not VolumeLabel, so no guest takes a blank image for its seed.
const blankLabel = "gpuworker"

// blankText is for a person who looks into a blank image.
const blankText = "gpuworker overwrote this image with an empty one. Its VM needs no seed any more, and\nthe login of gpuworker may not delete images (privilege Datastore.Allocate).\nIt can be deleted.\n"

// Blank returns an image without data, which overwrites seeds that cannot be removed.
func Blank() []byte {
	image, err := iso9660(blankLabel, []File{{"README", 0o444, []byte(blankText)}})
	if err != nil {
		panic(err) // it depends on nothing
	}
	return image
}
