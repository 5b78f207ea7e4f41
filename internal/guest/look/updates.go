package look

import (
	"path"
	"regexp"
	"slices"
	"strings"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// Updates are the packages that are installed without a person.
type Updates struct {
	Err error // their configuration could not be read
	On  bool
	// File is the file that turns them on.
	File string
	// Exposed are installed packages of driver and kernel that they may change, sorted.
	Exposed []string
}

func readUpdates(tree hosttree.Reader, family Family, packages Packages) Updates {
	var u Updates
	var spared func(name string) bool
	switch family {
	case Debian:
		u, spared = readApt(tree, packages)
	case RedHat:
		u, spared = readDnf(tree)
	case OtherFamily:
		return u
	}
	if u.Err == nil {
		u.Err = packages.Err
	}
	if !u.On || u.Err != nil {
		return u
	}
	for name := range packages.Versions {
		if (IsDriver(name) || IsKernel(name)) && !packages.Held[name] && !spared(name) {
			u.Exposed = append(u.Exposed, name)
		}
	}
	slices.Sort(u.Exposed)
	return u
}

// readApt reads /etc/apt/apt.conf.d (apt.conf(5)): the files by name, the last setting wins.
func readApt(tree hosttree.Reader, packages Packages) (u Updates, spared func(string) bool) {
	var patterns []*regexp.Regexp
	spared = func(name string) bool {
		return slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(name) })
	}
	if packages.Err == nil && !packages.Installed("unattended-upgrades") {
		return u, spared
	}
	const dir = "etc/apt/apt.conf.d"
	names, err := tree.ReadDir(dir)
	if err != nil {
		u.Err = err
	}
	for _, name := range names {
		file := read(tree, path.Join(dir, name))
		if !file.OK() {
			u.Err = file.Err
			continue
		}
		on, set, blacklist := parseAptConf(file.Body)
		if set {
			u.On, u.File = on, file.Name
		}
		patterns = append(patterns, blacklist...)
	}
	return u, spared
}

var (
	aptComment = regexp.MustCompile(`(?s:/\*.*?\*/)|(?m:^\s*(?://|#).*$)`)
	aptOn      = regexp.MustCompile(`APT::Periodic::Unattended-Upgrade\s+"?([0-9a-z]+)"?\s*;`)
	aptSpared  = regexp.MustCompile(`(?s)Unattended-Upgrade::Package-Blacklist\s*\{([^}]*)\}`)
	aptQuoted  = regexp.MustCompile(`"([^"\n]{1,200})"`)
)

// parseAptConf reads the settings of unattended-upgrades in one file. The entries of the
// list are regular expressions that match the beginning of a name.
func parseAptConf(text string) (on, set bool, spared []*regexp.Regexp) {
	text = aptComment.ReplaceAllString(text, "")
	for _, match := range aptOn.FindAllStringSubmatch(text, -1) {
		on, set = match[1] != "0", true
	}
	for _, list := range aptSpared.FindAllStringSubmatch(text, -1) {
		for _, entry := range aptQuoted.FindAllStringSubmatch(list[1], -1) {
			if pattern, err := regexp.Compile(`^(?:` + entry[1] + `)`); err == nil {
				spared = append(spared, pattern)
			}
		}
	}
	return on, set, spared
}

// readDnf reads the configuration of dnf-automatic and the excludes of dnf.conf(5).
func readDnf(tree hosttree.Reader) (u Updates, spared func(string) bool) {
	automatic, dnf := read(tree, "etc/dnf/automatic.conf"), read(tree, "etc/dnf/dnf.conf")
	if automatic.Hidden() {
		u.Err = automatic.Err
	}
	wanted, err := tree.ReadDir("etc/systemd/system/timers.target.wants")
	timer := slices.ContainsFunc(wanted, func(name string) bool { return strings.HasPrefix(name, "dnf-automatic") })
	if err == nil && timer && setting(automatic.Body, "apply_updates") == "yes" {
		u.On, u.File = true, automatic.Name
	}
	excluded := strings.FieldsFunc(setting(dnf.Body, "excludepkgs")+","+setting(dnf.Body, "exclude"), func(r rune) bool { return r == ',' || r == ' ' })
	return u, func(name string) bool {
		return slices.ContainsFunc(excluded, func(pattern string) bool {
			matches, err := path.Match(pattern, name)
			return err == nil && matches
		})
	}
}

// setting returns the last value of a key in an INI file.
func setting(text, key string) (value string) {
	for line := range strings.Lines(text) {
		if name, v, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == key {
			value = strings.TrimSpace(v)
		}
	}
	return value
}
