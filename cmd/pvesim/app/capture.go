package app

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/sim/pvesim/capture"
)

const captureUsage = `Usage: pvesim capture -endpoint URL -o FILE [flags]

Read a Proxmox VE cluster and write it as a world file for pvesim. This sends only
GET requests. Names, addresses and identities are replaced by pseudonyms, and
the file contains no secrets. The token is read from the environment:

  export PVE_TOKEN='capture@pve!once=…'
  pvesim capture -endpoint https://pve1.example.org:8006 -fingerprint 37:2D:… -o world.yaml
  pvesim -world world.yaml

A token with privilege separation and the role PVEAuditor on / can read
everything that is captured, and can change nothing.

`

// captureSettings are the values of the command line and the environment.
type captureSettings struct {
	options   capture.Options
	ca        string
	tokenName string // of the environment variable
	output    string
	force     bool
}

func parseCapture(args []string, getenv func(string) string, stderr io.Writer) (captureSettings, error) {
	var c captureSettings
	flags := flag.NewFlagSet("pvesim capture", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, captureUsage)
		flags.PrintDefaults()
	}
	flags.StringVar(&c.options.Endpoint, "endpoint", "", "`URL` of one host: https://pve1.example.org:8006 (default $PVE_ENDPOINT)")
	flags.StringVar(&c.options.Fingerprint, "fingerprint", "", "SHA-256 `FINGERPRINT` of the server's certificate (default $PVE_FINGERPRINT)")
	flags.StringVar(&c.ca, "ca", "", "PEM `FILE` with the cluster's CA: /etc/pve/pve-root-ca.pem on any host")
	flags.StringVar(&c.tokenName, "token-env", "PVE_TOKEN", "`NAME` of the environment variable with the token, user@realm!name=secret")
	flags.StringVar(&c.output, "o", "", "`FILE` to write, readable only by its owner; - for standard output (required)")
	flags.BoolVar(&c.force, "force", false, "overwrite an existing file")
	flags.BoolVar(&c.options.KeepNames, "keep-names", false, "keep the real names of hosts, VMs, storages, pools, tags and so on")
	flags.DurationVar(&c.options.Timeout, "timeout", 40*time.Second, "how long to wait for each answer, as a `DURATION`")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q; see pvesim capture -help", flags.Arg(0))
	}
	c.options.Endpoint = cmp.Or(c.options.Endpoint, getenv("PVE_ENDPOINT"))
	if c.options.Fingerprint == "" && c.ca == "" {
		c.options.Fingerprint = getenv("PVE_FINGERPRINT")
	}
	c.options.Token = getenv(c.tokenName)
	return c, c.check()
}

// check reports missing values before any request is sent.
func (c captureSettings) check() error {
	switch {
	case c.options.Endpoint == "":
		return errors.New("no endpoint given; use -endpoint https://HOST:8006, the address of one host of the cluster")
	case c.options.Token == "":
		return fmt.Errorf("the environment variable %s is empty; put a token into it, user@realm!name=secret, of a login with the role PVEAuditor on /", c.tokenName)
	case c.output == "":
		return errors.New("no file to write given; use -o FILE, or -o - for standard output")
	case c.options.Timeout <= 0:
		return fmt.Errorf("timeout %s: it must be more than 0, for example 40s", c.options.Timeout)
	case c.options.Fingerprint != "" && c.ca != "":
		return errors.New("-fingerprint and -ca exclude each other; give one")
	}
	if _, err := os.Lstat(c.output); err == nil && c.output != "-" && !c.force {
		return fmt.Errorf("%s exists; choose another name, or give -force to overwrite it", c.output)
	}
	return nil
}

func captureCluster(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	c, err := parseCapture(args, getenv, stderr)
	if err != nil {
		return err
	}
	if c.ca != "" {
		if c.options.CA, err = os.ReadFile(c.ca); err != nil {
			return fmt.Errorf("read the CA: %w", err)
		}
	}
	progress := watch(ctx, stderr)
	c.options.Progress = progress.note
	result, err := capture.Capture(ctx, c.options)
	progress.stop()
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted; nothing was written")
	case err != nil:
		return err
	}
	file, err := result.YAML()
	if err != nil {
		return err
	}
	if c.output == "-" {
		if _, err := stdout.Write(file); err != nil {
			return fmt.Errorf("write the world: %w", err)
		}
	} else if err := writeWorld(c.output, file, c.force); err != nil {
		return err
	}
	summary(stderr, c, result)
	return nil
}

// progress shows the progress of a capture that takes long.
type progress struct {
	mu   sync.Mutex
	last capture.Progress
	stop func()
}

// patience is the time before the first progress line, and between two lines.
const patience = 2 * time.Second

func watch(ctx context.Context, out io.Writer) *progress {
	ctx, cancel := context.WithCancel(ctx)
	p := &progress{}
	var done sync.WaitGroup
	p.stop = func() { cancel(); done.Wait() }
	done.Go(func() {
		ticker := time.NewTicker(patience)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				p.mu.Lock()
				fmt.Fprintf(out, "reading %s: %d of %d answers\n", cmp.Or(p.last.What, "version"), p.last.Done, max(p.last.Total, 1))
				p.mu.Unlock()
			}
		}
	})
	return p
}

func (p *progress) note(now capture.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = now
}

// writeWorld writes the file, readable for its owner only.
func writeWorld(path string, file []byte, force bool) error {
	if force {
		return replaceWorld(path, file)
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists; choose another name, or give -force to overwrite it", path) // it was created after check
	}
	if err != nil {
		return fmt.Errorf("write the world: %w", err)
	}
	_, err = out.Write(file)
	if err := errors.Join(err, out.Close()); err != nil {
		return errors.Join(fmt.Errorf("write the world: %w", err), os.Remove(path))
	}
	return nil
}

// replaceWorld replaces the file atomically.
func replaceWorld(path string, file []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".pvesim-capture-*") // with mode 0600
	if err != nil {
		return fmt.Errorf("write the world: %w", err)
	}
	// After the rename there is nothing to remove.
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.Write(file)
	if err := errors.Join(err, temp.Close()); err != nil {
		return fmt.Errorf("write the world: %w", err)
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return fmt.Errorf("write the world: %w", err)
	}
	return nil
}

// summary prints what was captured, what was left out, and how to use the file.
func summary(out io.Writer, c captureSettings, r *capture.Result) {
	w := r.World
	fmt.Fprintf(out, "captured %s, %s, %s, %s\n", count(len(w.Hosts), "host"), count(len(w.VMs), "VM"),
		count(len(w.Storages), "storage"), count(len(w.Mappings), "PCI mapping"))
	for _, note := range r.Notes {
		fmt.Fprintln(out, note)
	}
	if !c.options.KeepNames {
		real := map[string]string{}
		for name, pseudonym := range r.Names["host"] {
			real[pseudonym] = name
		}
		var hosts []string
		for _, host := range w.Hosts {
			hosts = append(hosts, host.Name+" is "+real[host.Name])
		}
		fmt.Fprintf(out, "names (not in the file): %s\n", strings.Join(hosts, ", "))
	}
	if c.output != "-" {
		fmt.Fprintf(out, "wrote %s; try: pvesim -world %s\n", c.output, c.output)
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
