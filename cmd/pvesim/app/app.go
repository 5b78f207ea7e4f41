// Package app is the pvesim program. It serves a simulated Proxmox VE cluster: it prints
// shell exports for a client, and then runs until it gets SIGINT or SIGTERM. Or it
// captures a real cluster as a world file. main and the end-to-end tests run it.
package app

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/gpuworker/gpuworker/internal/term"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// Main runs the command line of this process and returns the exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	complaints := term.NewWriter(os.Stderr, nil) // messages may contain text of clients and real clusters
	err := dispatch(ctx, os.Args[1:], os.Stdout, complaints)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(complaints, "pvesim:", err)
		return 1
	}
	return 0
}

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "capture" {
		return captureCluster(ctx, args[1:], os.Getenv, stdout, stderr)
	}
	return run(ctx, args, stdout, stderr)
}

// settings are the values of the command line.
type settings struct {
	world, listen, readyFile string
	fleet                    *pvesim.Fleet
	cert, key                string
	timeScale                float64
	faults                   []pvesim.Fault
	listLag                  pvesim.Duration
	agentSockets             string
	quiet                    bool
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var c settings
	flags := flag.NewFlagSet("pvesim", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "Usage: pvesim -world FILE [flags]       serve a simulated cluster\n"+
			"       pvesim -fleet HOSTSxGPUSxVMS     serve a generated cluster\n"+
			"       pvesim capture [flags]           write a world file from a real cluster; see pvesim capture -help\n\n")
		flags.PrintDefaults()
	}
	flags.StringVar(&c.world, "world", "", "world `FILE` to simulate, YAML or JSON")
	flags.Func("fleet", "instead of -world, generate a cluster of `SIZE` HOSTSxGPUSxVMS: 200x5x25 is 200 hosts with 5 GPUs and 25 VMs each", func(text string) error {
		fleet, err := pvesim.ParseFleet(text)
		c.fleet = &fleet
		return err
	})
	flags.StringVar(&c.listen, "listen", "127.0.0.1:0", "`ADDRESS` to listen on; port 0 chooses a free port")
	flags.StringVar(&c.readyFile, "ready-file", "", "write the address to this `FILE` when the simulator accepts connections")
	flags.Float64Var(&c.timeScale, "time-scale", 1, "divide all durations by this `FACTOR`")
	flags.StringVar(&c.cert, "cert", "", "PEM `FILE` with the certificate (default: a new self-signed one)")
	flags.StringVar(&c.key, "key", "", "PEM `FILE` with the key of the certificate")
	flags.Func("fault", "add a `FAULT`, written as in a world file: '{path: /status/start$, effect: hang}'; repeatable", func(text string) error {
		var f pvesim.Fault
		if err := yaml.UnmarshalStrict([]byte(text), &f); err != nil {
			return err
		}
		c.faults = append(c.faults, f)
		return nil
	})
	flags.TextVar(&c.listLag, "list-lag", pvesim.Duration(0), "how stale GET /cluster/resources may be, as a `DURATION`: 10s on a real cluster; 0s uses the value of the world file")
	flags.StringVar(&c.agentSockets, "agent-sockets", "", "pass the agent calls of a VM on to the unix socket VMID.qga in this `DIRECTORY`, if there is one")
	flags.BoolVar(&c.quiet, "quiet", false, "do not log to standard error")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q; see pvesim -help", flags.Arg(0))
	}
	if c.world == "" && c.fleet == nil {
		return c, errors.New("no world file given; use -world FILE, for example testdata/worlds/homelab.yaml, or -fleet 3x2x5")
	}
	if c.world != "" && c.fleet != nil {
		return c, errors.New("-world and -fleet exclude each other")
	}
	if (c.cert == "") != (c.key == "") {
		return c, errors.New("-cert and -key belong together; give both or none")
	}
	return c, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, err := parse(args, stderr)
	if err != nil {
		return err
	}
	world, err := c.load()
	if err != nil {
		return err
	}
	world.Faults = append(world.Faults, c.faults...)
	if c.listLag > 0 {
		world.ListLag = c.listLag
	}
	if c.agentSockets != "" {
		world.AgentSockets = c.agentSockets
	}
	certificate, err := certificate(c)
	if err != nil {
		return err
	}
	logger := log.New(stderr, "", log.LstdFlags)
	if c.quiet {
		logger.SetOutput(io.Discard)
	}
	sim, err := pvesim.New(world, pvesim.WithTimeScale(c.timeScale), pvesim.WithLog(logger.Printf))
	if err != nil {
		return err
	}
	defer sim.Close()
	listener, err := net.Listen("tcp", c.listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", c.listen, err)
	}
	return serve(ctx, c, sim, world, listener, certificate, stdout, logger)
}

func (c settings) load() (pvesim.World, error) {
	if c.fleet != nil {
		return c.fleet.World(), nil
	}
	data, err := os.ReadFile(c.world)
	if err != nil {
		return pvesim.World{}, fmt.Errorf("read the world file: %w", err)
	}
	world, err := pvesim.LoadWorld(data)
	if err != nil {
		return pvesim.World{}, fmt.Errorf("%s: %w", c.world, err)
	}
	return world, nil
}

func serve(ctx context.Context, c settings, sim *pvesim.Sim, world pvesim.World, listener net.Listener,
	certificate tls.Certificate, stdout io.Writer, logger *log.Logger) error {
	server := sim.Server()
	server.ErrorLog = logger
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(listener, "", "") }()
	address := listener.Addr().String()
	printExports(stdout, address, certificate, world)
	if c.readyFile != "" {
		if err := writeReady(c.readyFile, address); err != nil {
			return errors.Join(err, server.Close())
		}
	}
	select {
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", address, err)
	case <-ctx.Done():
	}
	// Tasks and hanging requests must end before the server can.
	sim.Close()
	shutdown, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(shutdown); err != nil {
		// Close the connections of clients that keep them open.
		return server.Close()
	}
	return nil
}

// writeReady writes the address atomically: a reader never sees an incomplete file.
func writeReady(path, address string) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".pvesim-ready-*")
	if err != nil {
		return fmt.Errorf("write the ready file: %w", err)
	}
	// After the rename there is nothing to remove.
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.WriteString(address + "\n")
	if err := errors.Join(err, temp.Close()); err != nil {
		return fmt.Errorf("write the ready file: %w", err)
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return fmt.Errorf("write the ready file: %w", err)
	}
	return nil
}

// printExports prints how to reach the simulator, as shell exports.
func printExports(out io.Writer, address string, certificate tls.Certificate, world pvesim.World) {
	sum := sha256.Sum256(certificate.Certificate[0])
	fmt.Fprintf(out, "export PVE_ENDPOINT='https://%s'\n", address)
	fmt.Fprintf(out, "export PVE_FINGERPRINT='%s'\n", colons(sum[:]))
	for _, t := range world.Tokens {
		fmt.Fprintf(out, "export PVE_TOKEN_%s='%s=%s'\n", variable(t.ID), t.ID, t.Secret)
	}
	for _, u := range world.Users {
		if u.Password != "" {
			fmt.Fprintf(out, "export PVE_PASSWORD_%s='%s'\n", variable(u.ID), u.Password)
		}
	}
}

func colons(sum []byte) string {
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// variable converts an ID to a name of an environment variable: gpuworker@pve!engine
// becomes GPUWORKER_PVE_ENGINE.
func variable(id string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(id))
}
