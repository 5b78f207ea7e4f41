package pvesim

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// cloud-init of a simulated guest. At each boot it looks for a seed: an ISO image with the
// label cidata, uploaded by the API, in a CD drive; or Proxmox's own cloud-init drive. A
// new instance-id writes the files of user-data. Nothing else of it is carried out, except
// what user-data is for here: gpuworker-guest is copied from the image, and the guest
// agent is installed, if user-data names them.

// guestDisk is what a simulated guest keeps on its disk, beside files.
type guestDisk struct {
	instance string // instance-id of the last seed
	hostname string
	source   string // datasource of the last boot: NoCloud, None or "" before the first
	errors   []string
	done     string // orders that the bootstrap was completed for
	reboots  int    // that GuestReboot made
}

const (
	guestProgram = "/usr/local/sbin/gpuworker-guest"
	guestOrders  = "/etc/gpuworker/orders.json"
	guestStatus  = "/var/lib/gpuworker/status.json"
	guestBootID  = "/proc/sys/kernel/random/boot_id"
)

// hasCloudInit reports whether the guest is a Linux with cloud-init.
func (v *vm) hasCloudInit() bool {
	id, _, _ := strings.Cut(v.guest.OS, " ")
	return slices.Contains([]string{"ubuntu", "debian", "rhel", "rocky"}, id)
}

// seedOf returns the seed in a VM's CD drives; none if there is no image with the label.
func (s *Sim) seedOf(v *vm) (seed map[string]string, found bool) {
	for _, key := range diskKeys {
		d := parseDrive(v.conf[key])
		if v.conf[key] == "" || !d.isCDROM() {
			continue
		}
		if d.isCloudInit() {
			user := v.userData()
			return map[string]string{"user-data": "#cloud-config\n" + strings.TrimPrefix(user, "#cloud-config\n"),
				"meta-data": fmt.Sprintf("instance-id: %s\n", sha1Hex(user+v.networkData()))}, true
		}
		_, vol := s.volumeOf(v.node, d)
		if vol == nil || vol.data == nil {
			continue
		}
		if image, err := parseISO(vol.data); err == nil && strings.EqualFold(image.label, "cidata") {
			return image.files, true
		}
	}
	return nil, false
}

// runCloudInit is cloud-init at one boot.
func (s *Sim) runCloudInit(v *vm) {
	seed, found := s.seedOf(v)
	if !found {
		if v.disk.source != "" {
			// A seed that is missing: DataSourceNone, which also resets the network.
			// Source: canonical/cloud-init#3777.
			v.disk.source = "None"
		}
		return
	}
	v.disk.source = "NoCloud"
	var meta struct {
		InstanceID string `json:"instance-id"`
		Hostname   string `json:"local-hostname"`
	}
	if err := yaml.Unmarshal([]byte(seed["meta-data"]), &meta); err != nil || meta.InstanceID == "" {
		v.disk.errors = []string{"meta-data has no instance-id"}
		return
	}
	if meta.InstanceID == v.disk.instance {
		return
	}
	v.disk.instance, v.disk.hostname, v.disk.errors, v.disk.done = meta.InstanceID, meta.Hostname, nil, ""
	if v.guest.fails(GuestCloudInitFails) {
		v.disk.errors = []string{"('write_files', OSError(28, 'No space left on device'))"}
		return
	}
	if err := v.applyUserData(seed); err != nil {
		v.disk.errors = []string{err.Error()}
	}
}

// applyUserData writes the files of user-data and installs what it names.
func (v *vm) applyUserData(seed map[string]string) error {
	text := seed["user-data"]
	var user struct {
		Hostname   string `json:"hostname"`
		WriteFiles []struct {
			Path     string `json:"path"`
			Content  string `json:"content"`
			Encoding string `json:"encoding"`
		} `json:"write_files"`
	}
	if !strings.HasPrefix(text, "#cloud-config") {
		return fmt.Errorf("('consume_data', unhandled non-multipart (text/x-not-multipart) userdata)")
	}
	if err := yaml.Unmarshal([]byte(text), &user); err != nil {
		return fmt.Errorf("('consume_data', user-data is no YAML: %w)", err)
	}
	if user.Hostname != "" {
		v.disk.hostname = user.Hostname
	}
	for _, file := range user.WriteFiles {
		content := file.Content
		switch file.Encoding {
		case "b64", "base64":
			plain, err := base64.StdEncoding.DecodeString(content)
			if err != nil {
				return fmt.Errorf("('write_files', %s: %w)", file.Path, err)
			}
			content = string(plain)
		case "", "text/plain":
		default:
			return fmt.Errorf("simulator: the encoding %q in write_files is not simulated", file.Encoding)
		}
		v.writeFile(file.Path, content)
	}
	for name, content := range seed {
		if strings.HasPrefix(name, "gpuworker-guest") && strings.Contains(text, guestProgram) {
			v.writeFile(guestProgram, content)
		}
	}
	if strings.Contains(text, "qemu-guest-agent") && !v.guest.fails(GuestNoAgent) && !v.guest.Agent {
		v.guest.Agent = true
		v.run.agentUp = time.Now()
	}
	return nil
}
