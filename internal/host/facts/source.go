package facts

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// Options say where facts come from.
type Options struct {
	// Dir has a file HOST.json for each host; "" for none.
	Dir string
	// SSH are targets to ask: "root@{host}" is for every host,
	// "root@pve1.example.org" for host pve1 only. Hosts with a file in Dir are not
	// asked.
	SSH []string
	// MaxAge is the maximum age of facts; 0 means the constant MaxAge.
	MaxAge time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Source returns the facts of hosts, from files or by SSH.
type Source struct {
	known  map[string]statement
	ssh    []string
	maxAge time.Duration
	now    func() time.Time
	run    func(ctx context.Context, target string) ([]byte, error)
}

// hostMark stands for the name of a host in an SSH target.
const hostMark = "{host}"

// Open reads the directory and validates the SSH targets.
func Open(o Options) (*Source, error) {
	s := &Source{ssh: o.SSH, maxAge: cmp.Or(o.MaxAge, MaxAge), now: o.Now, run: runSSH}
	if s.now == nil {
		s.now = time.Now
	}
	for _, target := range o.SSH {
		if strings.HasPrefix(target, "-") || strings.ContainsAny(target, " \t\n") || target == "" {
			return nil, &fault.Error{
				Kind: fault.Invalid, Doing: "read --ssh", Why: fmt.Sprintf("%q is not an SSH target", target),
				Fix: "write USER@{host} for all hosts, or USER@HOST for one",
			}
		}
	}
	if o.Dir == "" {
		return s, nil
	}
	var err error
	s.known, err = readDir(o.Dir)
	return s, err
}

// Limits: hosts that are asked at once, and the deadline for each.
const (
	askingAtOnce = 8
	askingTakes  = 30 * time.Second
)

// Facts implements engine.FactSource. A host that did not answer is in the result
// with the reason; a host without file and SSH target is not in it.
func (s *Source) Facts(ctx context.Context, hosts []*inventory.Host) map[string]*inventory.Facts {
	all := map[string]*inventory.Facts{}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(askingAtOnce)
	for _, host := range hosts {
		if said, known := s.file(host.Name); known {
			all[host.Name] = s.dated(said, host)
			continue
		}
		target, ok := s.target(host.Name)
		if !ok {
			if mistaken := s.misnamed(host.Name); mistaken != nil {
				all[host.Name] = mistaken
			}
			continue
		}
		g.Go(func() error {
			said := s.ask(ctx, host.Name, target)
			mu.Lock()
			defer mu.Unlock()
			all[host.Name] = s.dated(said, host)
			return nil
		})
	}
	_ = g.Wait()
	return all
}

// file returns the facts from the file of a host. Host names ignore case.
func (s *Source) file(host string) (said statement, known bool) {
	if said, known = s.known[host]; known {
		return said, true
	}
	for name, said := range s.known {
		if strings.EqualFold(name, host) {
			return said, true
		}
	}
	return statement{}, false
}

// misnamed returns missing facts with the reason, for a host whose file is of another
// host. It is nil when there is no such file.
func (s *Source) misnamed(host string) *inventory.Facts {
	for name, said := range s.known {
		if strings.EqualFold(filepath.Base(said.facts.From), host+".json") {
			return &inventory.Facts{From: said.facts.From, Missing: "it is of host " + name}
		}
	}
	return nil
}

// target returns the SSH target of a host.
func (s *Source) target(host string) (target string, ok bool) {
	for _, target := range s.ssh {
		switch {
		case strings.Contains(target, hostMark):
			return strings.ReplaceAll(target, hostMark, host), true
		case isOf(target, host):
			return target, true
		}
	}
	return "", false
}

// isOf reports whether a target names this host, by its short or full name.
func isOf(target, host string) bool {
	_, name, found := strings.Cut(target, "@")
	if !found {
		name = target
	}
	short, _, _ := strings.Cut(name, ".")
	return name == host || short == host
}

// ask asks a host by SSH. An answer of another host, for example because of a wrong
// alias, is refused: cards of equal hosts have the same addresses.
func (s *Source) ask(ctx context.Context, host, target string) statement {
	ctx, cancel := context.WithTimeout(ctx, askingTakes)
	defer cancel()
	from := "ssh " + target
	out, err := s.run(ctx, target)
	if err == nil {
		name, said, parseErr := parse(out, from)
		short, _, _ := strings.Cut(host, ".")
		switch {
		case parseErr != nil:
			err = parseErr
		case name != "" && !strings.EqualFold(name, host) && !strings.EqualFold(name, short):
			err = fmt.Errorf("another host answered: %s", name)
		default:
			return said
		}
	}
	return statement{facts: &inventory.Facts{From: from, Missing: plain(err.Error())}}
}

// runSSH runs the check on a host. A key that is made for this has the command
// forced in authorized_keys, and then ignores the command given here.
func runSSH(ctx context.Context, target string) ([]byte, error) {
	command := exec.CommandContext(ctx, "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", target, "gpuworker-host check -o json")
	out, stderr := &bounded{}, &ending{}
	command.Stdout, command.Stderr = out, stderr
	command.Env = forSSH(os.Environ())
	command.WaitDelay = time.Second
	err := command.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("no answer within %s", askingTakes)
	case out.over:
		return nil, errTooLong
	case err == nil, errors.Is(err, exec.ErrWaitDelay), // success, but a child (a shared connection) keeps the output open
		errors.As(err, &exit) && exit.ExitCode() == fault.ExitCheck && out.kept.Len() > 0: // a check that failed is an answer
		return out.kept.Bytes(), nil
	}
	if text := strings.TrimSpace(string(stderr.kept)); text != "" {
		return nil, errors.New(lastLine(text))
	}
	return nil, err
}

// toSSH are the variables that ssh, its agent, its passphrase prompt and Kerberos
// need (ssh(1), ENVIRONMENT; ssh-add(1)). SHELL runs proxy commands.
var toSSH = []string{
	"HOME", "PATH", "USER", "LOGNAME", "SHELL", "TMPDIR", "TERM", "LANG", "LANGUAGE", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR",
	"SSH_AUTH_SOCK", "SSH_AGENT_PID", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "SSH_SK_PROVIDER", "KRB5CCNAME", "KRB5_CONFIG",
}

// forSSH selects the variables that ssh gets. Others may be secret, and every
// program that ssh starts would see them.
func forSSH(environment []string) []string {
	kept := []string{} // nil would mean the whole environment
	for _, variable := range environment {
		if name, _, _ := strings.Cut(variable, "="); slices.Contains(toSSH, name) || strings.HasPrefix(name, "LC_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// bounded keeps up to maxAnswer bytes. More is an error, which ends the program that
// writes.
type bounded struct {
	kept bytes.Buffer
	over bool
}

func (b *bounded) Write(data []byte) (int, error) {
	if b.over = b.over || b.kept.Len()+len(data) > maxAnswer; b.over {
		return 0, errTooLong
	}
	return b.kept.Write(data)
}

// ending keeps the end of the output, where the reason usually is.
type ending struct{ kept []byte }

func (e *ending) Write(data []byte) (int, error) {
	const most = 4 << 10
	e.kept = append(e.kept, data...)
	if n := len(e.kept); n > most {
		e.kept = append(e.kept[:0], e.kept[n-most:]...)
	}
	return len(data), nil
}

func lastLine(text string) string { return text[strings.LastIndex(text, "\n")+1:] }
