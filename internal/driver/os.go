package driver

import "strings"

// OS is a release of a guest's operating system.
type OS string

// The guest releases that gpuworker supports.
const (
	Ubuntu2204 OS = "ubuntu-22.04"
	Ubuntu2404 OS = "ubuntu-24.04"
	Ubuntu2604 OS = "ubuntu-26.04"
	Debian12   OS = "debian-12"
	Debian13   OS = "debian-13"
	RHEL9      OS = "rhel-9"
	Rocky9     OS = "rocky-9"
	AlmaLinux9 OS = "almalinux-9"
)

// Systems are all guest releases, in the order of the list above.
var Systems = []OS{Ubuntu2204, Ubuntu2404, Ubuntu2604, Debian12, Debian13, RHEL9, Rocky9, AlmaLinux9}

// family is a group of releases with the same packages.
type family int

const (
	noFamily family = iota
	ubuntu
	debian
	rhel
)

func (s OS) family() family {
	switch {
	case strings.HasPrefix(string(s), "ubuntu-"):
		return ubuntu
	case strings.HasPrefix(string(s), "debian-"):
		return debian
	case s == RHEL9 || s == Rocky9 || s == AlmaLinux9:
		return rhel
	}
	return noFamily
}

// String is the name of the release, as messages write it: "Ubuntu 24.04".
func (s OS) String() string {
	id, version, _ := strings.Cut(string(s), "-")
	switch id {
	case "rhel":
		return "RHEL " + version
	case "almalinux":
		return "AlmaLinux " + version
	case "":
		return "unknown"
	}
	return strings.ToUpper(id[:1]) + id[1:] + " " + version
}

// Codename is the suite of an Ubuntu release in its package archive; "" for other systems.
func (s OS) Codename() string {
	return map[OS]string{Ubuntu2204: "jammy", Ubuntu2404: "noble", Ubuntu2604: "resolute"}[s]
}

// ParseOS finds the release of a guest by ID and VERSION_ID of its /etc/os-release:
// "ubuntu" and "24.04", "rocky" and "9.6". ok is false for a release that gpuworker does
// not support.
func ParseOS(id, version string) (s OS, ok bool) {
	major, _, _ := strings.Cut(version, ".")
	for _, s := range Systems {
		if s == OS(id+"-"+version) || s.family() != ubuntu && s == OS(id+"-"+major) {
			return s, true
		}
	}
	return "", false
}

// IsDebian reports whether it is a release of Debian, not of Ubuntu.
func (s OS) IsDebian() bool { return s.family() == debian }

// IsRHEL reports whether it is RHEL or one of its rebuilds.
func (s OS) IsRHEL() bool { return s.family() == rhel }
