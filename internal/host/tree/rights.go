package tree

import (
	"strconv"
	"strings"
)

// ToSeeMore says what to do when something of a host could not be seen. Mostly that is
// to be root; who is root already, as in a container, is told what is missing instead
// (proc_pid_status(5), user_namespaces(7), capabilities(7)).
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
		return "it is root already: look in the kernel's log for what keeps it out, such as AppArmor or SELinux"
	}
	return "run it on the host itself with all rights of root, not in a container; here " + strings.Join(lacks, ", ")
}

// status is proc_pid_status(5) of this process, by name.
func status(tree Reader) map[string]string {
	data, _ := tree.ReadFile("proc/self/status") // unreadable, nothing is known
	values := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		values[name] = strings.TrimSpace(value)
	}
	return values
}

// confined are the ways in which this process does not see the host as it is.
func confined(tree Reader) []string {
	var how []string
	users, err := tree.ReadFile("proc/self/uid_map")
	if fields := strings.Fields(string(users)); err == nil && strings.Join(fields, " ") != "0 0 4294967295" {
		how = append(how, "root is that of a user namespace")
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

// InPIDNamespace reports whether this process is in a PID namespace of its own, and does not
// see other processes of the host. The first one has a fixed number (PROC_PID_INIT_INO
// in include/linux/proc_ns.h of the kernel).
func InPIDNamespace(tree Reader) bool {
	target, err := tree.Readlink("proc/self/ns/pid")
	return err == nil && target != "pid:[4026531836]"
}

// missing are the capabilities that root lacks of those that looking needs.
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
