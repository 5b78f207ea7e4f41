package hostfacts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// Source knows or asks for the facts of hosts.
type Source struct {
	known map[string]*inventory.Facts
	ssh   []string
	run   func(ctx context.Context, target string) ([]byte, error)
}

// hostMark stands for the name of a host in an SSH target.
const hostMark = "{host}"

// Open reads the directory ("" for none) and takes the SSH targets to ask:
// "root@{host}" is for every host, "root@pve1.example.org" for host pve1 alone.
// What the directory has is not asked for.
func Open(dir string, ssh []string) (*Source, error) {
	s := &Source{ssh: ssh, run: runSSH}
	for _, target := range ssh {
		if strings.HasPrefix(target, "-") || strings.ContainsAny(target, " \t\n") || target == "" {
			return nil, &fault.Error{
				Kind: fault.Invalid, Doing: "read --ssh", Why: fmt.Sprintf("%q is no SSH target", target),
				Fix: "write USER@{host} for all hosts, or USER@HOST for one",
			}
		}
	}
	if dir == "" {
		return s, nil
	}
	var err error
	s.known, err = ReadDir(dir)
	return s, err
}

// asking bounds the hosts that are asked at once, and how long one may take.
const (
	askingAtOnce = 8
	askingTakes  = 30 * time.Second
)

// Facts implements engine.FactSource. A host that could not be asked is in the
// answer with the reason; one that nobody told how to ask is not.
func (s *Source) Facts(ctx context.Context, hosts []string) map[string]*inventory.Facts {
	all := map[string]*inventory.Facts{}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(askingAtOnce)
	for _, host := range hosts {
		if facts := s.known[host]; facts != nil {
			all[host] = facts
			continue
		}
		target, ok := s.target(host)
		if !ok {
			continue
		}
		g.Go(func() error {
			facts := s.ask(ctx, host, target)
			mu.Lock()
			defer mu.Unlock()
			all[host] = facts
			return nil
		})
	}
	_ = g.Wait()
	return all
}

// target is where a host is asked.
func (s *Source) target(host string) (target string, ok bool) {
	for _, target := range s.ssh {
		_, name, found := strings.Cut(target, "@")
		if !found {
			name = target
		}
		short, _, _ := strings.Cut(name, ".")
		switch {
		case strings.Contains(target, hostMark):
			return strings.ReplaceAll(target, hostMark, host), true
		case name == host || short == host:
			return target, true
		}
	}
	return "", false
}

// ask asks a host. An answer in another host's name, as behind a wrong alias, is
// none: cards of hosts of one make are at the same addresses.
func (s *Source) ask(ctx context.Context, host, target string) *inventory.Facts {
	ctx, cancel := context.WithTimeout(ctx, askingTakes)
	defer cancel()
	from := "ssh " + target
	out, err := s.run(ctx, target)
	if err == nil {
		name, facts, parseErr := Parse(out, from)
		short, _, _ := strings.Cut(host, ".")
		switch {
		case parseErr != nil:
			err = parseErr
		case name != "" && !strings.EqualFold(name, host) && !strings.EqualFold(name, short):
			err = fmt.Errorf("it is host %s that answered", name)
		default:
			return facts
		}
	}
	return &inventory.Facts{From: from, Missing: err.Error()}
}

// runSSH asks a host. The command is what an unrestricted login would run; a key
// that is made for this has it forced in authorized_keys, so that it can do
// nothing else.
func runSSH(ctx context.Context, target string) ([]byte, error) {
	command := exec.CommandContext(ctx, "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", target, "gpuworker-host check -o json")
	var out, complaint bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaint
	command.WaitDelay = time.Second
	err := command.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("no answer within %s", askingTakes)
	case err == nil, errors.As(err, &exit) && exit.ExitCode() == 1 && out.Len() > 0: // a check that failed is an answer
		return out.Bytes(), nil
	}
	if text := strings.TrimSpace(complaint.String()); text != "" {
		return nil, errors.New(lastLine(text))
	}
	return nil, err
}

func lastLine(text string) string { return text[strings.LastIndex(text, "\n")+1:] }
