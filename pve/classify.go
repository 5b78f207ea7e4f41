package pve

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
)

// rule maps a text of Proxmox VE to a kind. what is the kind of the object that is
// missing or already exists.
type rule struct {
	kind Kind
	what string
	text *regexp.Regexp
}

func on(kind Kind, what, text string) rule {
	return rule{kind, what, regexp.MustCompile(text)}
}

// rules are tried in order; the first match wins. The texts are those of qemu-server
// 9.2, pve-manager 9.2, pve-guest-common, pve-common and pve-storage, and those of
// QEMU in the log of a start. The server does not translate them.
var rules = []rule{
	// The rest of these texts comes from the guest, so they are first. Source: answers of
	// qemu-ga 7.2 and QEMU's qga/.
	on(AgentUnavailable, "", `^Agent error: Command \S+ has been disabled: the agent is in frozen state`), // for a backup
	on(AgentForbidden, "", `^Agent error: (The c|C)ommand \S+ has (been disabled|not been found)`),
	on(NotFound, "file", `^Agent error: failed to open file .*: No such file or directory$`),
	on(NotFound, "program", `^Agent error: .*Failed to execute child process .*\(No such file or directory\)`),
	on(NotFound, "process", `^Agent error: (Invalid parameter 'pid'|PID \S+ does not exist)`),
	on(AgentFailed, "", `^Agent error: `),

	// Without quorum, pmxcfs refuses all writes below /etc/pve, also for root.
	on(NoQuorum, "", `no quorum`),
	on(NoQuorum, "", `cluster not ready`),
	on(NoQuorum, "", `unable to open file '/etc/pve/[^']*' - Permission denied`),

	on(Changed, "", `checksum mismatch \(file change`),
	on(Changed, "", `detected modified configuration - file changed`),

	on(NotFound, "pool", `pool '[^']*' does not exist`),
	on(Denied, "", `Permission check failed`),
	on(Denied, "", `\bonly root(@pam)? can `),
	on(Denied, "", `user != root@pam`),

	on(Exists, "vm", `unable to create VM \d+: config file already exists`),
	on(Exists, "vm", `VM \d+ already exists`),
	on(Exists, "vm", `close \(rename\) atomic file '[^']*\.conf' failed: File exists`),
	on(Exists, "mapping", `pci ID '[^']*' already defined`),
	on(Exists, "volume", `disk image '[^']*' already exists`),
	on(Exists, "snapshot", `snapshot name '[^']*' already used`),

	on(NotFound, "vm", `Configuration file '[^']*' does not exist`),
	on(NotFound, "vm", `unable to find configuration file for VM \d+`),
	on(NotFound, "mapping", `^mapping '[^']*' not found`),
	on(NotFound, "mapping", `hardware mapping failed: pci ID '[^']*' does not exist`),
	on(NotFound, "storage", `storage '[^']*' does not exist`),
	on(NotFound, "storage", `No such storage`),
	on(NotFound, "volume", `volume_size_info on '[^']*' failed`),
	on(NotFound, "volume", `\bvolume '?[^' ]+'? does not exist`),
	on(NotFound, "snapshot", `snapshot '[^']*' does not exist`),
	on(NotFound, "interface", `interface does not exist`),
	on(NotFound, "task", `no such task`),

	on(Locked, "", `VM is locked`),
	on(Locked, "", `can't lock file '[^']*' - `),
	on(Locked, "", `got lock request timeout`),
	on(Locked, "", `can't (acquire|obtain) lock`),
	on(Locked, "", `unable to acquire (pmxcfs )?lock`),

	on(InUse, "", `PCI device '[^']*' (already in use|is currently reserved for use) by VMID`),
	on(InUse, "", `could not find a free device for 'hostpci\d+'`),
	on(InUse, "", `failed to open /dev/vfio/\d+: Device or resource busy`),
	on(InUse, "", `Could not open '/dev/vfio/\d+': Device or resource busy`),
	on(InUse, "", `base volume '[^']*' is still in use by linked clone`),

	on(Invalid, "", `q35 machine model is not enabled`),
	on(Invalid, "", `device '[^']*' assigned more than once`),
	on(Hardware, "", `IOMMU not present`),
	on(Hardware, "", `no PCI device found for '`),
	on(Hardware, "", `PCI device mapping (not found|invalid)`),
	on(Hardware, "", `no pci device info for device`),
	on(Hardware, "", `[Cc]annot open iommu_group`),
	on(Hardware, "", `can't (unbind/bind|reset) PCI (group|device)`),
	on(Hardware, "", `Cannot bind \S+ to vfio`),
	on(Hardware, "", `Cannot find vfio-pci module`),
	on(Hardware, "", `pci device '[^']*' not found`),

	on(Protected, "", `protection mode enabled`),

	on(AlreadyRunning, "", `VM \d+ already running`),
	on(Running, "", `VM \d+ is running - destroy failed`),
	on(Running, "", `if VM is running`),
	on(NotRunning, "", `VM \d+ (is )?not running`),

	on(AgentUnavailable, "", `No QEMU guest agent configured`),
	on(AgentUnavailable, "", `QEMU guest agent is not running`),
	on(AgentUnavailable, "", `qga command '[^']*' failed - `),

	on(NoMemory, "", `Cannot allocate memory`),
	on(NoMemory, "", `cannot set up guest memory`),
	on(NoMemory, "", `hugepage allocation failed`),
	on(Hardware, "", `vfio \S+: (group \d+ is not viable|error getting device from group|failed to (setup|get|open))`),
	on(Hardware, "", `Could not open '/dev/vfio/\d+'`),
	on(NoSpace, "", `No space left on device`),
	on(NoSpace, "", `[Ii]nsufficient free space`),
	on(NoSpace, "", `not enough free space`),
	on(NoSpace, "", `out of space`),

	on(Unavailable, "", `hostname lookup '[^']*' failed`),
	on(Unavailable, "storage", `unable to activate storage '[^']*'`),
	on(Unavailable, "storage", `storage '[^']*' is not online`),

	on(Invalid, "", `hardware mapping failed: (missing value for required option|no such option|unable to delete)`),
	on(Invalid, "", `property contains a line feed`),
	on(Invalid, "", `no such cluster node`),
	on(Invalid, "", `parameter '[^']*' not allowed for linked clones`),
	on(Invalid, "", `[Ll]inked clone feature is not supported`),
	on(Invalid, "", `can't clone (VM to node|to non-shared storage)`),
	on(Invalid, "", `no options specified`),
	on(Invalid, "", `unable to parse (value|volume)`),
	on(Invalid, "", `SSH public key validation error`),
	on(Invalid, "", `shrinking disks is not supported`),
	on(Invalid, "", `disk '[^']*' does not exist`),
	on(Invalid, "", `storage '[^']*' (is disabled|does not support)`),
	on(Invalid, "", `storage '[^']*' is not available on node`),
	on(Invalid, "", `can't upload to storage type`),
	on(Invalid, "", `volume '[^']*' has size zero`),
	on(Invalid, "", `Wide character in subroutine entry`),
	on(Invalid, "", `cloud-init drive is already attached`),
	on(Invalid, "", `you can't (start a vm if it's a template|convert a template|move to the same storage)`),
	on(Invalid, "", `Parameter verification failed`),
	on(Invalid, "", `unable to parse worker upid`),
}

// Classify maps a server's text to a kind. It is exported for the test that compares
// the documented texts with the rules. status is the HTTP status, 0 for the exit
// status of a task. A known text decides, because Proxmox answers both permanent and
// temporary faults with 500; otherwise the status decides.
func Classify(status int, text string) Kind {
	kind, _ := classify(status, text)
	return kind
}

func classify(status int, text string) (kind Kind, what string) {
	if status == 401 {
		return Unauthenticated, ""
	}
	for _, r := range rules {
		if r.text.MatchString(text) {
			return r.kind, r.what
		}
	}
	return kindOfStatus(status), ""
}

// kindOfStatus is used for unknown texts. When a request is forwarded to another
// node, 595 means no connection to that node, 596 a broken one, and 599 no answer
// in 30 seconds.
func kindOfStatus(status int) Kind {
	switch {
	case status == 0:
		return TaskFailed
	case status == 400:
		return Invalid
	case status == 403:
		return Denied
	case status == 404:
		return NotFound
	case status == 501, status == 506:
		return Unsupported
	case passingStatus(status), status == 429:
		return Unavailable
	default:
		return Unknown
	}
}

// lostForm matches the error for a command of a guest agent whose answer did not come. The
// agent may still carry it out.
var lostForm = regexp.MustCompile(`^VM \d+ qga command '[^']*' failed - `)

// passingStatus reports whether a status means a temporary fault of the connection.
func passingStatus(status int) bool {
	switch status {
	case 502, 503, 504, 595, 596, 597, 598, 599:
		return true
	}
	return false
}

// generic matches exit statuses whose cause is in the log of the task.
var generic = regexp.MustCompile(`QEMU exited with code|^command '.*' failed: |^start failed: command`)

// classifyTask is Classify for a task that failed with the given log.
func classifyTask(exit string, log []string) (kind Kind, what string) {
	kind, what = classify(0, exit)
	if kind != TaskFailed || !generic.MatchString(exit) {
		return kind, what
	}
	for _, line := range slices.Backward(log) {
		if k, w := classify(0, line); k != TaskFailed {
			return k, w
		}
	}
	return TaskFailed, ""
}

// lockVMForm matches the error for a VM's lock that could not be acquired.
var lockVMForm = regexp.MustCompile(`can't lock file '[^']*/lock-(\d+)\.conf'`)

// describe sets Kind and What from the text.
func (e *Error) describe() {
	text := e.Message
	for _, name := range sortedKeys(e.Params) {
		text += "\n" + name + ": " + e.Params[name]
	}
	if e.Status == 0 && !e.Task.IsZero() {
		e.Kind, e.What = classifyTask(text, e.Log)
	} else {
		e.Kind, e.What = classifyAnswer(e.Status, text, e.Params)
	}
}

// classifyAnswer classifies the messages of single parameters before the general
// message of a 400, which does not name a cause.
func classifyAnswer(status int, text string, params map[string]string) (Kind, string) {
	for _, name := range sortedKeys(params) {
		if kind, what := classify(status, params[name]); kind != Invalid {
			return kind, what
		}
	}
	return classify(status, text)
}

// idInUseIfLocked turns "can't lock file …/lock-N.conf" of a clone into Exists when N
// is not the source. Two clones to the same new id compete for the lock of that id,
// so the id is in use.
func (e *Error) idInUseIfLocked(source int) {
	m := lockVMForm.FindStringSubmatch(e.Message)
	if e.Kind != Locked || m == nil || m[1] == strconv.Itoa(source) {
		return
	}
	e.Kind, e.What = Exists, "vm"
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
