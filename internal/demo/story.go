package demo

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// act is one command of the demo and its purpose.
type act struct {
	title, why string
	line       string
	codes      []int
	// after checks the result of the command and prints about it.
	after func(s *stage, before int) error
}

var acts = []act{
	{
		title: "Which GPUs are there, and can they be used?",
		why:   "All hosts at a glance: where each card is, what shares its IOMMU group, which VM has it.",
		line:  "gpus -f " + file,
		codes: []int{fault.ExitOK},
	},
	{
		title: "Is everything ready?",
		why:   "Check goes from the API up to the VMs, changes nothing, and says how to fix each failure.",
		line:  "check -f " + file,
		codes: []int{fault.ExitOK, fault.ExitCheck},
	},
	{
		title: "What would happen, and why?",
		why:   "The plan shows the host and the card of every worker, and the reason of every refusal.",
		line:  "plan -f " + file,
		codes: []int{fault.ExitOK, fault.ExitCheck},
	},
	{
		title: "Do it",
		why:   "One worker is refused; apply does the rest. It can be stopped at any point and run again.",
		line:  "apply -f " + file + " --yes",
		codes: []int{fault.ExitOK, fault.ExitCheck},
	},
	{
		title: "How are they?",
		why:   "The current state, as the hypervisor and the guests report it.",
		line:  "status -f " + file,
		codes: []int{fault.ExitOK, fault.ExitCheck},
	},
	{
		title: "Apply again",
		why:   "Everything is as declared, except for the card that cannot be used: there is nothing left to do.",
		line:  "apply -f " + file + " --yes",
		codes: []int{fault.ExitOK, fault.ExitCheck},
		after: (*stage).nothingWritten,
	},
}

// runAll runs all commands.
func (s *stage) runAll(ctx context.Context) error {
	s.printf("\n%s\n", s.bold("gpuworker demo"))
	s.printf("A Proxmox VE cluster of three hosts and five GPUs, simulated inside this process and %d times\n", timeScale)
	s.printf("faster than a real one. Nothing outside this process is touched.\n\n")
	for i, a := range acts {
		s.printf("%s\n%s\n\n%s\n", s.heading(fmt.Sprintf("%d  %s", i+1, a.title)), a.why, s.command("gpuworker "+a.line))
		before := s.writes()
		if err := s.run(ctx, a.line, a.codes...); err != nil {
			return err
		}
		if a.after != nil {
			if err := a.after(s, before); err != nil {
				return err
			}
		}
		s.printf("\n")
	}
	s.printf("Done in %s.\n\n", time.Since(s.started).Round(100*time.Millisecond))
	s.tryNext()
	return nil
}

// writes counts the requests that could have changed the cluster.
func (s *stage) writes() int {
	n := 0
	for _, request := range s.server.sim.Requests() {
		if request.Method != http.MethodGet {
			n++
		}
	}
	return n
}

// nothingWritten checks that an apply without differences writes nothing.
func (s *stage) nothingWritten(before int) error {
	if n := s.writes() - before; n > 0 {
		return fmt.Errorf("the second apply sent %d changes, but nothing had to be changed", n)
	}
	s.printf("\nThe simulated cluster received no write request.\n")
	return nil
}

func (s *stage) tryNext() {
	s.printf("%s\n", s.heading("What to try next"))
	for _, tip := range [][2]string{
		{"gpuworker explain CARD-GROUP-SHARED", "why one card was refused"},
		{"gpuworker demo --keep", "the same, but the cluster keeps running, so that you can try commands"},
		{"gpuworker schema", "completion and checks for your editor"},
		{"gpuworker role -f your.yaml", "a login with the least privileges, for your own cluster"},
		{"gpuworker check -f your.yaml", "a first check of your cluster; nothing is changed"},
	} {
		s.printf("  %-38s %s\n", tip[0], s.dim(tip[1]))
	}
	s.printf("\n")
}

// heading is a title with a line up to the width of the demo.
func (s *stage) heading(title string) string {
	width, _ := s.Program.Out.Size()
	rule := max(0, min(width, columns)-len([]rune(title))-4)
	return s.dim("──") + " " + s.bold(title) + " " + s.dim(strings.Repeat("─", rule))
}

func (s *stage) command(line string) string { return s.dim("$ ") + s.bold(line) }

func (s *stage) bold(text string) string { return s.sgr(1, text) }
func (s *stage) dim(text string) string  { return s.sgr(2, text) }

func (s *stage) sgr(code int, text string) string {
	if !s.Color {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", code, text)
}
