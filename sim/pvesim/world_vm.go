package pvesim

import (
	"fmt"
	"strconv"
	"strings"
)

// checkVMs checks the VMs of a world: identities, known options, existing storages.
func (w *World) checkVMs(p *problems, hosts map[string]bool, storages map[string]Storage) {
	seen := map[int]bool{}
	for _, v := range w.VMs {
		if v.ID < 100 || v.ID > 999999999 || seen[v.ID] {
			p.add("vm %d: want an id from 100 to 999999999, each once", v.ID)
		}
		seen[v.ID] = true
		if !hosts[v.Host] {
			p.add("vm %d: host %q is not a host of this world", v.ID, v.Host)
		}
		if err := v.Guest.validate(); err != nil {
			p.add("vm %d: %v", v.ID, err)
		}
		config, err := v.config()
		if err != nil {
			p.add("vm %d: %v", v.ID, err)
			continue
		}
		checkConfig(p, v.ID, config, storages)
		pending, err := texts(v.Pending)
		if err != nil {
			p.add("vm %d: pending: %v", v.ID, err)
			continue
		}
		checkConfig(p, v.ID, pending, storages)
		for _, key := range v.Deleting {
			if _, there := config[key]; !there {
				p.add("vm %d: deleting %q: there is no such option in its config", v.ID, key)
			}
		}
		if v.Running && config["template"] == "1" {
			p.add("vm %d: a template does not run", v.ID)
		}
	}
}

// checkConfig checks the current or pending options of a VM.
func checkConfig(p *problems, id int, config map[string]string, storages map[string]Storage) {
	for key, value := range config {
		if err := CheckOption(key, value); err != nil {
			p.add("vm %d: %v", id, err)
			continue
		}
		if !isDrive(key) {
			continue
		}
		if storage, _, isVolume := parseDrive(value).volume(); isVolume {
			if _, known := storages[storage]; !known {
				p.add("vm %d: option %q: storage %q is not known", id, key, storage)
			}
		}
	}
}

// CheckOption returns an error if a VM in a world cannot have this option with this
// value.
func CheckOption(key, value string) error {
	spec, known := vmOption(key)
	if !known {
		if key == "meta" || key == "parent" {
			return nil
		}
		return fmt.Errorf("option %q does not exist in Proxmox VE", key)
	}
	if text := spec.check(key, value); text != "" {
		return fmt.Errorf("option %q is %q: %s", key, value, strings.TrimSpace(text))
	}
	return nil
}

// config is the VM's configuration with all values in the form of the file.
func (v VM) config() (map[string]string, error) { return texts(v.Config) }

// texts returns options with all values in the form of the configuration file.
func texts(options map[string]any) (map[string]string, error) {
	config := map[string]string{}
	for key, value := range options {
		switch x := value.(type) {
		case string:
			config[key] = x
		case bool:
			config[key] = map[bool]string{true: "1", false: "0"}[x]
		case float64:
			config[key] = strconv.FormatFloat(x, 'f', -1, 64)
		case int:
			config[key] = strconv.Itoa(x)
		default:
			return nil, fmt.Errorf("option %q: must be a string, a number, true or false, not %T", key, value)
		}
	}
	return config, nil
}
