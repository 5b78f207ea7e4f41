package run

import (
	"context"
	"path"
	"strconv"
	"strings"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// Captured answers commands with what a captured guest has of them. The file of
// "nvidia-smi -L" is captured/commands/nvidia-smi -L. Its first line is "exit 0", or
// another exit code, and the rest is the output.
type Captured struct{ Tree hosttree.Reader }

// Dir is the directory of the captured commands.
const Dir = "captured/commands"

// Run implements Runner.
func (r Captured) Run(_ context.Context, c Command) Result {
	name := strings.ReplaceAll(c.String(), "/", "_")
	data, err := r.Tree.ReadFile(path.Join(Dir, name))
	if err != nil {
		return Result{State: NotFound}
	}
	first, output, _ := strings.Cut(string(data), "\n")
	code, isCode := strings.CutPrefix(first, "exit ")
	number, err := strconv.Atoi(code)
	if first == "timeout" {
		return Result{State: TimedOut}
	}
	if !isCode || err != nil {
		return Result{State: Broken, Why: "its captured output has no exit code"}
	}
	return Result{State: Ended, Code: number, Output: output[:min(len(output), MaxOutput)]}
}
