package pvesim

import (
	"fmt"
	"strconv"
	"strings"
)

// checkVMs looks at the VMs of a world: identities, options that Proxmox
// knows, storages that exist.
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
		config, err := v.config()
		if err != nil {
			p.add("vm %d: %v", v.ID, err)
			continue
		}
		for key, value := range config {
			spec, known := vmOption(key)
			if !known && key != "meta" && key != "parent" {
				p.add("vm %d: option %q is not one of Proxmox VE", v.ID, key)
				continue
			}
			if text := spec.check(key, value); known && text != "" {
				p.add("vm %d: option %q is %q: %s", v.ID, key, value, strings.TrimSpace(text))
			}
			if !isDrive(key) {
				continue
			}
			drive := parseDrive(value)
			if storage, _, isVolume := drive.volume(); isVolume {
				if _, known := storages[storage]; !known {
					p.add("vm %d: option %q: storage %q is not known", v.ID, key, storage)
				}
			}
		}
		if v.Running && config["template"] == "1" {
			p.add("vm %d: a template does not run", v.ID)
		}
	}
}

// config is the VM's configuration with all values as the file has them.
func (v VM) config() (map[string]string, error) {
	config := map[string]string{}
	for key, value := range v.Config {
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
			return nil, fmt.Errorf("option %q: want a text, a number or true or false, not %T", key, value)
		}
	}
	return config, nil
}
