// Command recordings replays exchanges with a real Proxmox VE against the simulator,
// cmd/pvesim, and fails when an answer differs.
//
//	go run ./hack/recordings [-ledger sim/pvesim/ledger.txt]
//
// The recordings are not part of this repository. They are read from $PVE_RECORDINGS, or
// from a directory beside the checkout. Without them, the command checks nothing, says so
// and succeeds. A directory of recordings has scenarios/ (requests and answers) and
// replay/ (the program that compares).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ledger := flag.String("ledger", "", "also write what was checked into this file; needs the API's table, too")
	scale := flag.Float64("time-scale", 20, "how much faster than a real cluster the simulator runs")
	flag.Parse()
	if err := run(ctx, *ledger, *scale, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "recordings:", err)
		stop()
		os.Exit(1)
	}
}

const (
	recordingsBeside = "../shared/facts/pve-recordings"
	tableBeside      = "../shared/facts/pve-api-9.1.json"
)

// run builds both programs, replays all scenarios and prints the result.
func run(ctx context.Context, ledger string, scale float64, out io.Writer) error {
	dir, err := find("PVE_RECORDINGS", recordingsBeside)
	if err != nil {
		return err
	}
	if dir == "" {
		fmt.Fprintf(out, "NOT CHECKED: there are no recordings of a real Proxmox VE here.\n"+
			"Set PVE_RECORDINGS to the directory that has scenarios/ and replay/, or put it at %s.\n", recordingsBeside)
		return nil
	}
	scenarios, err := readScenarios(filepath.Join(dir, "scenarios"))
	if err != nil {
		return err
	}
	bin, err := os.MkdirTemp("", "recordings-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin) //nolint:errcheck // files that are left in the temporary directory do no harm
	p := &player{bin: bin, dir: dir, scale: scale, out: out}
	if err := p.build(ctx); err != nil {
		return err
	}
	for _, v := range variants(scenarios) {
		if err := p.play(ctx, v); err != nil {
			return err
		}
	}
	failed := report(out, scenarios, p.failed)
	if failed > 0 {
		return fmt.Errorf("%d of %d scenarios are not as recorded", failed, len(scenarios))
	}
	if ledger == "" {
		return nil
	}
	return writeLedger(ledger, scenarios)
}

// report prints the counts and returns how many scenarios failed.
func report(out io.Writer, scenarios []scenario, failed map[string]bool) int {
	passed, exchanges, all := 0, 0, 0
	for _, s := range scenarios {
		n := len(s.requests())
		all += n
		if !failed[s.Name] {
			passed++
			exchanges += n
		}
	}
	fmt.Fprintf(out, "recordings: %d of %d scenarios as recorded, with %d of %d requests\n", passed, len(scenarios), exchanges, all)
	return len(scenarios) - passed
}

// find returns the file or directory that an environment variable names, which must
// exist, or else the one beside the checkout; "" when there is none.
func find(variable, beside string) (string, error) {
	if path := os.Getenv(variable); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%s: %w; unset it to go without", variable, err)
		}
		return filepath.Abs(path)
	}
	_, err := os.Stat(beside)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return filepath.Abs(beside)
}
