package tree

import (
	"strconv"
	"strings"
)

// ToSeeMore says what to do when something of a host could not be read. Usually this
// is to run as root. For root without all rights, as in a container, it says what is
// missing (proc_pid_status(5), user_namespaces(7), capabilities(7)).
func ToSeeMore(tree Reader) string {
	if _, err := tree.ReadFile(CapturedDate); err == nil {
		return "capture the host again, as root"
	}
	status := status(tree)
	if uids := strings.Fields(status["Uid"]); len(uids) < 2 || uids[1] != "0" {
		return "run it as root"
	}
	lacks := append(confined(tree), missing(status["CapEff"])...)
	if len(lacks) == 0 {
		return "it already runs as root: look in the kernel's log for what denies access, such as AppArmor or SELinux"
	}
	return "run it on the host itself with all rights of root, not in a container; here " + strings.Join(lacks, ", ")
}

// status reads proc_pid_status(5) of this process, by name.
func status(tree Reader) map[string]string {
	data, _ := tree.ReadFile("proc/self/status") // if unreadable, nothing is known
	values := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		values[name] = strings.TrimSpace(value)
	}
	return values
}

// confined returns the reasons why this process does not see the whole host.
func confined(tree Reader) []string {
	var how []string
	users, err := tree.ReadFile("proc/self/uid_map")
	if fields := strings.Fields(string(users)); err == nil && strings.Join(fields, " ") != "0 0 4294967295" {
		how = append(how, "root is only root of a user namespace")
	}
	if InPIDNamespace(tree) {
		how = append(how, "a PID namespace hides the processes of the host")
	}
	mounts, _ := tree.ReadFile("proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 5 && fields[4] == "/sys" && strings.HasPrefix(fields[5]+",", "ro,") {
			how = append(how, "/sys is mounted read-only")
			break
		}
	}
	return how
}

// InPIDNamespace reports whether this process is in another PID namespace than that of
// the host, so that it does not see all processes. That of the host has a fixed number
// (PROC_PID_INIT_INO in include/linux/proc_ns.h of the kernel).
func InPIDNamespace(tree Reader) bool {
	target, err := tree.Readlink("proc/self/ns/pid")
	return err == nil && target != "pid:[4026531836]"
}

// missing returns the capabilities that are needed to read everything and that root
// lacks.
func missing(effective string) []string {
	set, err := strconv.ParseUint(effective, 16, 64)
	if err != nil {
		return nil
	}
	const readAny, searchAny = 1 << 1, 1 << 2
	var lacks []string
	for _, need := range []struct {
		name string
		any  uint64 // one of them is enough
	}{{"CAP_DAC_READ_SEARCH", readAny | searchAny}, {"CAP_SYS_PTRACE", 1 << 19}, {"CAP_SYS_ADMIN", 1 << 21}} {
		if set&need.any == 0 {
			lacks = append(lacks, "root has no "+need.name)
		}
	}
	return lacks
}
