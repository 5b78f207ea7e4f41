package guest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/term"
)

// MaxStatus is the limit of a status, and of orders, in bytes. A real status has about
// 10 KiB.
const MaxStatus = 64 << 10

// The limits of lists in a status. Longer lists are cut: the guest may be hostile.
const (
	maxSteps    = 64
	maxFindings = 128
	maxGPUs     = 32
)

// errTooLong says that a file is longer than any real one.
var errTooLong = fmt.Errorf("it is longer than %d KiB", MaxStatus>>10)

// ParseStatus reads a status, which is untrusted: it is bounded, and its texts are safe to
// print. Fields that this version does not know are ignored.
func ParseStatus(data []byte) (*Status, error) {
	if len(data) > MaxStatus {
		return nil, fmt.Errorf("read the guest's status: %w", errTooLong)
	}
	var s Status
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("read the guest's status: %w", plain(err))
	}
	if s.Version > Version {
		return nil, fmt.Errorf("read the guest's status: it has version %d, and this program knows version %d: use a newer gpuworker", s.Version, Version)
	}
	if s.Version < 1 {
		return nil, errors.New("read the guest's status: it has no version")
	}
	s.Steps = s.Steps[:min(len(s.Steps), maxSteps)]
	s.Findings = s.Findings[:min(len(s.Findings), maxFindings)]
	s.GPUs = s.GPUs[:min(len(s.GPUs), maxGPUs)]
	for i := range s.Findings { // the layer is that of our own table
		s.Findings[i] = s.Findings[i].As(s.Findings[i].ID)
	}
	s = term.CleanAll(s)
	return &s, nil
}

// uuidForm is an SMBIOS UUID, as the kernel and hypervisors write it.
var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// gpuUUID is the identity of a GPU, as nvidia-smi writes it.
var gpuUUID = regexp.MustCompile(`^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// IsGPUUUID reports whether a text is the identity of a GPU: "GPU-" and a UUID.
func IsGPUUUID(text string) bool { return gpuUUID.MatchString(text) }

// The values of a driver order become part of package names and files.
var (
	branchForm  = regexp.MustCompile(`^[0-9]{3,4}$`)
	versionForm = regexp.MustCompile(`^[0-9]{3,4}(\.[0-9]{1,4}){1,3}$`)
)

// ParseOrders reads orders strictly: unknown fields and values are errors, because a
// guest must not do a part of what it was told.
func ParseOrders(data []byte) (*Orders, error) {
	if len(data) > MaxStatus {
		return nil, fmt.Errorf("read the orders: %w", errTooLong)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var o Orders
	if err := decoder.Decode(&o); err != nil {
		return nil, fmt.Errorf("read the orders: %w", plain(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read the orders: there is more text after the object")
	}
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("read the orders: %w", err)
	}
	return &o, nil
}

// plain is an error of package json whose text is safe to print: it may quote the input.
func plain(err error) error { return errors.New(string(term.Clean(err.Error()))) }

func (o *Orders) validate() error {
	switch {
	case o.Version != Version:
		return fmt.Errorf("they have version %d, and this program knows version %d: use the gpuworker-guest of the gpuworker that wrote them", o.Version, Version)
	case o.Worker == "" || len(o.Worker) > 253 || string(term.Clean(o.Worker)) != o.Worker:
		return errors.New("worker is not a name")
	case len(o.Program) > 128 || string(term.Clean(o.Program)) != o.Program:
		return errors.New("program is not a version")
	case !uuidForm.MatchString(o.UUID):
		return errors.New("uuid is not a UUID")
	}
	if err := validateDriver(o.Driver, o.GPU != nil); err != nil {
		return fmt.Errorf("driver: %w", err)
	}
	if o.GPU == nil {
		return nil
	}
	if id, err := pci.ParseID(o.GPU.ID); err != nil || id.String() != o.GPU.ID {
		return errors.New("gpu.id is not vendor:device in lower-case hexadecimal, like 10de:1eb8")
	}
	if o.GPU.UUID != "" && !IsGPUUUID(o.GPU.UUID) {
		return errors.New("gpu.uuid is not GPU- and a UUID in lower case")
	}
	return nil
}

// maxKey is the limit of the key of a repository, in bytes.
const maxKey = 32 << 10

// isArmoured reports whether a text is empty or has only printable ASCII lines.
func isArmoured(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') })
}

func validateDriver(d driver.Order, hasGPU bool) error {
	switch d.Strategy {
	case driver.Preinstalled, driver.Packages, driver.Ansible:
		if !hasGPU {
			return fmt.Errorf("strategy %s is for a worker with a GPU", d.Strategy)
		}
	case driver.Operator, driver.None:
	case "":
		if hasGPU {
			return errors.New("strategy is missing")
		}
	default:
		return errors.New("strategy is not one of Preinstalled, Packages, Operator, Ansible, None")
	}
	switch {
	case d.Branch != "" && !branchForm.MatchString(d.Branch):
		return errors.New(`branch is not a number like "580"`)
	case d.Version != "" && !versionForm.MatchString(d.Version):
		return errors.New(`version is not like "580.95.05"`)
	case d.Branch != "" && d.Version != "" && !strings.HasPrefix(d.Version, d.Branch+"."):
		return fmt.Errorf("version %s is not of branch %s", d.Version, d.Branch)
	case d.Strategy == driver.Packages && d.Branch == "":
		return errors.New("branch is missing: Packages needs it to choose the packages")
	case len(d.RepositoryKey) > maxKey || !isArmoured(d.RepositoryKey):
		return errors.New("repositoryKey is not an ASCII-armoured public key")
	case len(d.Repository) > 2048 || string(term.Clean(d.Repository)) != d.Repository:
		return errors.New("repository is not a URL")
	}
	return nil
}
