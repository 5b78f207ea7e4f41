package demo

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// act is one command of the story and why one would type it.
type act struct {
	title, why string
	line       string
	codes      []int
	// after says something about what just happened.
	after func(s *stage, before int) error
}

var acts = []act{
	{
		title: "Which GPUs are there, and can they be used?",
		why:   "One look at every host: where each card is, what shares its IOMMU group, who has it.",
		line:  "gpus -f " + file,
		codes: []int{fault.ExitOK},
	},
	{
		title: "Is everything ready?",
		why:   "Check looks from the API up to the VMs, changes nothing, and has a way out for each failure.",
		line:  "check -f " + file,
		codes: []int{fault.ExitOK, fault.ExitCheck},
	},
	{
		title: "What would happen, and why?",
		why:   "The plan says for every worker which host and card it gets, and for every refusal the reason.",
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
		why:   "What is there now, asked from the hypervisor and from the guests.",
		line:  "status -f " + file,
		codes: []int{fault.ExitOK, fault.ExitCheck},
	},
	{
		title: "And once more",
		why:   "The world is as declared, except for the card that cannot be used: there is nothing left to do.",
		line:  "apply -f " + file + " --yes",
		codes: []int{fault.ExitOK, fault.ExitCheck},
		after: (*stage).nothingWritten,
	},
}

// tell plays all acts.
func (s *stage) tell(ctx context.Context) error {
	s.printf("\n%s\n", s.bold("gpuworker demo"))
	s.printf("A Proxmox VE cluster of three hosts and five GPUs, simulated inside this process and %d times\n", timeScale)
	s.printf("faster than real ones. Nothing else is touched.\n\n")
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

// nothingWritten proves that an apply of what is there already writes nothing.
func (s *stage) nothingWritten(before int) error {
	if n := s.writes() - before; n > 0 {
		return fmt.Errorf("the second apply sent %d changes, and nothing had to be changed", n)
	}
	s.printf("\nThe cluster counted: not one request that writes.\n")
	return nil
}

func (s *stage) tryNext() {
	s.printf("%s\n", s.heading("What to try next"))
	for _, tip := range [][2]string{
		{"gpuworker explain CARD-GROUP-SHARED", "why one card was refused"},
		{"gpuworker demo --keep", "the same, and the cluster stays for you to play with"},
		{"gpuworker schema", "completion and checks for your editor"},
		{"gpuworker role -f your.yaml", "a login with the least privileges, for your own cluster"},
		{"gpuworker check -f your.yaml", "the first look at it; nothing is changed"},
	} {
		s.printf("  %-38s %s\n", tip[0], s.dim(tip[1]))
	}
	s.printf("\n")
}

// heading is a title with a rule up to the width of the story.
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
