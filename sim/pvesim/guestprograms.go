package pvesim

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
)

// GuestCall is a command that a client runs in a guest.
type GuestCall struct {
	VMID    int
	Command []string
	Input   string
}

// GuestResult is the result of a command in a guest.
type GuestResult struct {
	ExitCode int
	Signal   int // that ended it; 0 for none
	Out, Err string
	// Missing means that the guest does not have the program: it does not start.
	Missing bool
	// After is the duration of the command, divided by the time scale.
	After Duration
}

// guestPrograms are the programs of a simulated guest, by name. All others are refused
// with 501, not with a made-up result.
var guestPrograms map[string]func(*Sim, *vm, GuestCall) (GuestResult, error)

func init() { // the shell runs the others
	guestPrograms = map[string]func(*Sim, *vm, GuestCall) (GuestResult, error){
		"true":            func(*Sim, *vm, GuestCall) (GuestResult, error) { return GuestResult{}, nil },
		"false":           func(*Sim, *vm, GuestCall) (GuestResult, error) { return GuestResult{ExitCode: 1}, nil },
		"echo":            echoProgram,
		"cat":             catProgram,
		"sha256sum":       sumProgram,
		"mkdir":           mkdirProgram,
		"rm":              rmProgram,
		"mv":              mvProgram,
		"chmod":           chmodProgram,
		"sh":              shellProgram,
		"cloud-init":      cloudInitProgram,
		"gpuworker-guest": gpuworkerGuestProgram,
		"nvidia-smi":      nvidiaSMIProgram,
		"systemctl":       systemctlProgram,
	}
}

// programDirs are the directories in which programs are found.
var programDirs = []string{"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"}

// runProgram runs a program in the simulated guest; the simulator's lock is held.
func (s *Sim) runProgram(v *vm, call GuestCall) (GuestResult, error) {
	name := call.Command[0]
	dir, base := path.Split(name)
	run, ok := guestPrograms[base]
	if !ok || dir != "" && !slices.Contains(programDirs, path.Clean(dir)) {
		return GuestResult{}, notSimulated("the program '%s' in a guest", name)
	}
	return run(s, v, call)
}

func echoProgram(_ *Sim, _ *vm, call GuestCall) (GuestResult, error) {
	return GuestResult{Out: strings.Join(call.Command[1:], " ") + "\n"}, nil
}

// words splits the arguments of a program into flags and the rest; each flag must be one
// of those that the model knows.
func words(call GuestCall, known ...string) (flags, rest []string, err error) {
	for i, word := range call.Command[1:] {
		switch {
		case word == "--":
			return flags, append(rest, call.Command[i+2:]...), nil
		case !strings.HasPrefix(word, "-") || word == "-":
			rest = append(rest, word)
		case slices.Contains(known, word):
			flags = append(flags, word)
		default:
			return nil, nil, notSimulated("the flag '%s' of the program '%s' in a guest", word, call.Command[0])
		}
	}
	return flags, rest, nil
}

// missingFile is the complaint of a program about a file.
func missingFile(call GuestCall, name string) GuestResult {
	return GuestResult{ExitCode: 1, Err: fmt.Sprintf("%s: %s: No such file or directory\n", path.Base(call.Command[0]), name)}
}

func catProgram(_ *Sim, v *vm, call GuestCall) (GuestResult, error) {
	_, names, err := words(call)
	if err != nil {
		return GuestResult{}, err
	}
	if len(names) == 0 {
		return GuestResult{Out: call.Input}, nil
	}
	var all GuestResult
	for _, name := range names {
		content, ok := v.files[name]
		if !ok {
			gone := missingFile(call, name)
			all.ExitCode, all.Err = gone.ExitCode, all.Err+gone.Err
			continue
		}
		all.Out += content
	}
	return all, nil
}

// sumProgram prints sums; with -c it checks those of a list, from a file or its input.
func sumProgram(_ *Sim, v *vm, call GuestCall) (GuestResult, error) {
	flags, names, err := words(call, "-c", "--check", "--status", "--quiet", "--strict")
	if err != nil {
		return GuestResult{}, err
	}
	if slices.Contains(flags, "-c") || slices.Contains(flags, "--check") {
		list := call.Input
		if len(names) > 0 && names[0] != "-" {
			list = v.files[names[0]]
		}
		return checkSums(v, list, slices.Contains(flags, "--status") || slices.Contains(flags, "--quiet")), nil
	}
	if len(names) == 0 {
		return GuestResult{Out: sha256Hex(call.Input) + "  -\n"}, nil
	}
	var all GuestResult
	for _, name := range names {
		content, ok := v.files[name]
		if !ok {
			gone := missingFile(call, name)
			all.ExitCode, all.Err = gone.ExitCode, all.Err+gone.Err
			continue
		}
		all.Out += fmt.Sprintf("%s  %s\n", sha256Hex(content), name)
	}
	return all, nil
}

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func checkSums(v *vm, list string, quiet bool) GuestResult {
	var result GuestResult
	failed := 0
	for line := range strings.Lines(list) {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			return GuestResult{ExitCode: 1, Err: "sha256sum: standard input: no properly formatted checksum lines found\n"}
		}
		content, there := v.files[name]
		switch {
		case !there:
			result.Err += fmt.Sprintf("sha256sum: %s: No such file or directory\n", name)
			failed++
		case sha256Hex(content) != sum:
			result.Out += name + ": FAILED\n"
			failed++
		case !quiet:
			result.Out += name + ": OK\n"
		}
	}
	if failed > 0 {
		result.ExitCode = 1
		result.Err += fmt.Sprintf("sha256sum: WARNING: %d computed checksum did NOT match\n", failed)
	}
	return result
}

// mkdirProgram makes directories. An empty one is kept by a marker that is no file name.
func mkdirProgram(_ *Sim, v *vm, call GuestCall) (GuestResult, error) {
	flags, names, err := words(call, "-p")
	if err != nil {
		return GuestResult{}, err
	}
	for _, name := range names {
		parent := path.Dir(name)
		switch {
		case slices.Contains(flags, "-p"):
		case v.hasDir(name):
			return GuestResult{ExitCode: 1, Err: fmt.Sprintf("mkdir: cannot create directory ‘%s’: File exists\n", name)}, nil
		case !v.hasDir(parent):
			return GuestResult{ExitCode: 1, Err: fmt.Sprintf("mkdir: cannot create directory ‘%s’: No such file or directory\n", name)}, nil
		}
		v.writeFile(name+"/", "")
	}
	return GuestResult{}, nil
}

func rmProgram(_ *Sim, v *vm, call GuestCall) (GuestResult, error) {
	flags, names, err := words(call, "-f", "-r", "-rf")
	if err != nil {
		return GuestResult{}, err
	}
	all, force := false, false
	for _, flag := range flags {
		all, force = all || strings.Contains(flag, "r"), force || strings.Contains(flag, "f")
	}
	for _, name := range names {
		_, there := v.files[name]
		if !there && !force && !(all && v.hasDir(name)) {
			return GuestResult{ExitCode: 1, Err: fmt.Sprintf("rm: cannot remove '%s': No such file or directory\n", name)}, nil
		}
		delete(v.files, name)
		for other := range v.files {
			if all && strings.HasPrefix(other, name+"/") {
				delete(v.files, other)
			}
		}
	}
	return GuestResult{}, nil
}

func mvProgram(_ *Sim, v *vm, call GuestCall) (GuestResult, error) {
	_, names, err := words(call, "-f", "-T")
	if err != nil {
		return GuestResult{}, err
	}
	if len(names) != 2 {
		return GuestResult{}, notSimulated("mv of other than one file")
	}
	content, ok := v.files[names[0]]
	if !ok {
		return GuestResult{ExitCode: 1, Err: fmt.Sprintf("mv: cannot stat '%s': No such file or directory\n", names[0])}, nil
	}
	delete(v.files, names[0])
	v.writeFile(names[1], content)
	return GuestResult{}, nil
}

// chmodProgram only checks that the files are there: files have no mode here.
func chmodProgram(_ *Sim, v *vm, call GuestCall) (GuestResult, error) {
	_, names, err := words(call)
	if err != nil {
		return GuestResult{}, err
	}
	for _, name := range names[min(1, len(names)):] {
		if _, ok := v.files[name]; !ok && !v.hasDir(name) {
			return GuestResult{ExitCode: 1, Err: fmt.Sprintf("chmod: cannot access '%s': No such file or directory\n", name)}, nil
		}
	}
	return GuestResult{}, nil
}

// hostname is that of the seed, or else the VM's name.
func (v *vm) hostname() string {
	if v.guest.fails(GuestHostile) {
		return hostileText
	}
	return cmp.Or(v.disk.hostname, v.name())
}
