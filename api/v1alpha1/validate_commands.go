package v1alpha1

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/gpuworker/gpuworker/internal/phrase"
)

// rebootRefused is the reason against a command that ends the boot.
const rebootRefused = "reboots or stops the guest in the middle of its first boot. cloud-init marks its modules as done before it runs them, so the rest would never run, and the worker would never join; gpuworker-guest needs no reboot. Leave it out"

// commandProblem says what is wrong with a command line for /bin/sh. It finds mistakes
// of careful people; it cannot find what a program does that the command starts.
func commandProblem(line string, gpu bool) string {
	switch {
	case strings.TrimSpace(line) == "":
		return "is empty; write a command line"
	case len(line) > mostCommand:
		return phrase.Bytes(int64(len(line))) + " are too much for one command; write a script with writeFiles, and run it"
	case strings.ContainsRune(line, 0):
		return "has a NUL character, which no command can have"
	}
	script, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(line), "")
	if err != nil {
		return "cannot be read by a shell: " + strings.TrimPrefix(err.Error(), ":")
	}
	wrong := ""
	syntax.Walk(script, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.CallExpr:
			wrong = firstOf(wrong, wordsProblem(words(n.Args), gpu))
		case *syntax.Redirect:
			if n.Word != nil && text(n.Word) == "/proc/sysrq-trigger" {
				wrong = firstOf(wrong, rebootRefused)
			}
		}
		return wrong == ""
	})
	return wrong
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// words returns the words of a simple command without quotes; "" for a word that the
// shell computes.
func words(args []*syntax.Word) []string {
	list := make([]string, len(args))
	for i, word := range args {
		list[i] = text(word)
	}
	return list
}

// text returns a word as the program gets it, "" when the shell computes it.
func text(word *syntax.Word) string {
	var b strings.Builder
	for _, part := range word.Parts {
		switch p := part.(type) {
		case *syntax.Lit:
			b.WriteString(strings.ReplaceAll(p.Value, `\`, ""))
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			for _, inner := range p.Parts {
				lit, ok := inner.(*syntax.Lit)
				if !ok {
					return ""
				}
				b.WriteString(lit.Value)
			}
		default:
			return ""
		}
	}
	return b.String()
}

// starters are programs that run the command in their own arguments.
var starters = []string{"sudo", "exec", "nohup", "env", "time", "command", "setsid", "nice", "ionice", "timeout", "builtin", "systemd-run", "doas", "chroot", "xargs", "stdbuf"}

// shells are programs that run the text after -c.
var shells = []string{"sh", "bash", "dash", "ash", "ksh", "zsh", "su", "runuser"}

// wordsProblem judges a simple command.
func wordsProblem(words []string, gpu bool) string {
	if len(words) == 0 {
		return ""
	}
	program, args := path.Base(words[0]), words[1:]
	switch {
	case slices.Contains(starters, program):
		return startedProblem(args, gpu)
	case program == "eval":
		return textProblem(strings.Join(args, " "), gpu)
	case slices.Contains(shells, program):
		if at := slices.IndexFunc(args, func(a string) bool { return isFlags(a) && strings.HasSuffix(a, "c") }); at >= 0 && at+1 < len(args) {
			return textProblem(args[at+1], gpu)
		}
		return ""
	case reboots(program, args):
		return rebootRefused
	case program == "cloud-init" && slices.Contains(args, "clean"):
		return "makes cloud-init forget that this guest was set up: the next boot makes new SSH host keys and resets the network. Leave it out; gpuworker-guest seal does it for a template"
	case gpu && upgrades(program, args):
		return upgradesRefused
	}
	return ""
}

// startedProblem judges the arguments of a program such as sudo or timeout: a command
// begins at any of them that is not a flag.
func startedProblem(args []string, gpu bool) string {
	for i, word := range args {
		if word == "" || isFlags(word) {
			continue
		}
		if wrong := wordsProblem(args[i:], gpu); wrong != "" {
			return wrong
		}
	}
	return ""
}

// textProblem judges the text that a shell runs. A text that cannot be parsed is not a
// problem here: the shell may get it in another form.
func textProblem(line string, gpu bool) string {
	if wrong := commandProblem(line, gpu); wrong == rebootRefused || wrong == upgradesRefused {
		return wrong
	}
	return ""
}

func isFlags(word string) bool { return strings.HasPrefix(word, "-") }

// operands returns the arguments that are no flags.
func operands(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "" || isFlags(a) })
}

// powerVerbs are the verbs of systemctl and loginctl that end the boot. Source:
// systemctl(1), SYSTEM COMMANDS.
var powerVerbs = []string{"reboot", "poweroff", "halt", "kexec", "soft-reboot", "suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate", "rescue", "emergency", "exit"}

func reboots(program string, args []string) bool {
	rest := operands(args)
	switch program {
	case "reboot", "poweroff", "halt":
		return !slices.Contains(args, "--help") && !slices.Contains(args, "-w") && !slices.Contains(args, "--wtmp-only")
	case "shutdown":
		return !slices.Contains(args, "-c") && !slices.Contains(args, "--help")
	case "init", "telinit":
		return len(rest) > 0 && slices.Contains([]string{"0", "1", "6", "s", "S"}, rest[0])
	case "kexec":
		return slices.Contains(args, "-e") || slices.Contains(args, "--exec")
	case "systemctl", "loginctl":
		if len(rest) == 0 {
			return false
		}
		verb := rest[0]
		onPower := slices.ContainsFunc(rest[1:], func(unit string) bool {
			return slices.Contains(powerVerbs, strings.TrimSuffix(strings.TrimSuffix(unit, ".target"), ".service"))
		})
		return slices.Contains(powerVerbs, verb) || onPower && slices.Contains([]string{"start", "isolate", "restart", "reload-or-restart"}, verb)
	}
	return false
}

// upgrades reports whether a command upgrades all packages, or lets the guest do it.
func upgrades(program string, args []string) bool {
	rest := operands(args)
	verb := ""
	if len(rest) > 0 {
		verb = rest[0]
	}
	switch program {
	case "apt", "apt-get", "aptitude":
		return slices.Contains([]string{"upgrade", "dist-upgrade", "full-upgrade", "safe-upgrade"}, verb) ||
			verb == "install" && slices.Contains(rest[1:], "unattended-upgrades")
	case "dnf", "yum", "microdnf":
		whole := slices.Contains([]string{"upgrade", "update", "distro-sync", "upgrade-minimal", "system-upgrade"}, verb) && len(rest) == 1
		return whole || verb == "system-upgrade" || verb == "install" && slices.Contains(rest[1:], "dnf-automatic")
	case "unattended-upgrade", "unattended-upgrades", "do-release-upgrade", "dnf-automatic":
		return true
	case "dpkg-reconfigure":
		return slices.Contains(rest, "unattended-upgrades")
	case "systemctl":
		timer := slices.ContainsFunc(rest, func(unit string) bool {
			return strings.HasPrefix(unit, "unattended-upgrades") || strings.HasPrefix(unit, "dnf-automatic") || strings.HasPrefix(unit, "apt-daily-upgrade")
		})
		return timer && slices.Contains([]string{"enable", "start", "restart", "unmask", "reenable"}, verb)
	}
	return false
}
