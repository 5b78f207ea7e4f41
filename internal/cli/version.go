package cli

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/term"
)

// Version is set by the linker for releases:
// -ldflags "-X github.com/gpuworker/gpuworker/internal/cli.Version=v0.1.0".
var Version = ""

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and Go version",
		Example: `  gpuworker version -o json`,
		RunE: verb(func(context.Context, []string) error {
			v := thisVersion()
			if !a.forPeople() {
				return a.machine(v)
			}
			term.Fprintln(a.Out, v.line())
			return nil
		}),
	}
}

func (v versionView) line() term.Text {
	return term.Sprintf("gpuworker %s (commit %s, %s, %s)", v.Version, v.Commit, v.Go, v.Platform)
}

type versionView struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// thisVersion is what this binary was built from.
func thisVersion() versionView {
	v := versionView{Version: Version, Commit: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	if v.Version == "" {
		v.Version = info.Main.Version
	}
	if v.Version == "" {
		v.Version = "(devel)"
	}
	dirty := ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			v.Commit = setting.Value[:min(12, len(setting.Value))]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			dirty = "+changes"
		}
	}
	v.Commit += dirty
	return v
}
