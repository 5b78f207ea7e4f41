package look

import (
	"encoding/json"
	"slices"
	"strings"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// SecureBoot is whether the firmware checks signatures, and so the kernel those of modules.
type SecureBoot struct {
	State SecureState
	File  Text // the evidence
}

// SecureState is the state of Secure Boot.
type SecureState string

// The states.
const (
	SecureOn      SecureState = "on"
	SecureOff     SecureState = "off"
	SecureUnknown SecureState = "unknown"
)

// secureBootVariable is an EFI variable: four bytes of attributes and one of data, 1 for
// on (UEFI specification 3.3; kernel, Documentation/filesystems/efivarfs.rst).
const secureBootVariable = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

func readSecureBoot(tree hosttree.Reader) SecureBoot {
	there, err := exists(tree, "sys/firmware", "efi")
	if err == nil && !there { // started by a BIOS
		return SecureBoot{SecureOff, Text{Name: "sys/firmware/efi", Err: errNotEFI}}
	}
	data, err := tree.ReadFile(secureBootVariable)
	file := Text{Name: secureBootVariable, Err: err}
	switch {
	case file.Absent():
		return SecureBoot{SecureOff, file}
	case err != nil || len(data) != 5:
		return SecureBoot{SecureUnknown, file}
	case data[4] == 1:
		file.Body = "1"
		return SecureBoot{SecureOn, file}
	}
	file.Body = "0"
	return SecureBoot{SecureOff, file}
}

type constError string

func (e constError) Error() string { return string(e) }

const errNotEFI = constError("does not exist: the guest was started by a BIOS")

// CloudInit is the result of cloud-init.
type CloudInit struct {
	File   Text
	Broken bool // the file has another form
	// Running is the stage that is running; "" when it is done.
	Running string
	Errors  []StageError
	// Previous is the instance as which this disk was started before; "" for none.
	Previous, Instance string
}

// StageError is an error of one stage of cloud-init.
type StageError struct{ Stage, Error string }

// readCloudInit reads the status of cloud-init. It has {"v1": {"stage": null, "init":
// {"errors": [], …}, "modules-final": …}}.
func readCloudInit(tree hosttree.Reader) CloudInit {
	const data = "var/lib/cloud/data/"
	c := CloudInit{
		File:     read(tree, data+"status.json"),
		Previous: read(tree, data+"previous-instance-id").Value(),
		Instance: read(tree, data+"instance-id").Value(),
	}
	if c.Previous == "NO_PREVIOUS_INSTANCE_ID" {
		c.Previous = ""
	}
	if c.File.OK() {
		c.parse(c.File.Body)
	}
	return c
}

func (c *CloudInit) parse(text string) {
	var status struct {
		V1 map[string]json.RawMessage `json:"v1"`
	}
	if err := json.Unmarshal([]byte(text), &status); err != nil || status.V1 == nil {
		c.Broken = true
		return
	}
	for name, raw := range status.V1 {
		if name == "stage" {
			_ = json.Unmarshal(raw, &c.Running) // null when done
			continue
		}
		var stage struct {
			Errors []string `json:"errors"`
		}
		if json.Unmarshal(raw, &stage) != nil { // "datasource" is a text
			continue
		}
		for _, message := range stage.Errors {
			c.Errors = append(c.Errors, StageError{name, message})
		}
	}
	slices.SortFunc(c.Errors, func(a, b StageError) int { return strings.Compare(a.Stage+a.Error, b.Stage+b.Error) })
}

// kernelLog returns the log of the kernel: from the caller for the running kernel, or
// from a captured guest.
func kernelLog(tree hosttree.Reader, running []byte) Text {
	if running != nil {
		return Text{Name: "dev/kmsg", Body: strings.ToValidUTF8(string(running), "\uFFFD")}
	}
	log := read(tree, hosttree.CapturedKmsg)
	log.Name = "dev/kmsg"
	return log
}
