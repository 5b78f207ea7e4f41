// Package buildinfo returns version, commit and platform of the running program.
package buildinfo

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version is set by the linker for releases:
// -ldflags "-X github.com/gpuworker/gpuworker/internal/buildinfo.Version=v0.1.0".
var Version = ""

// Info is what a program was built from.
type Info struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// This returns what the running program was built from.
func This() Info {
	v := Info{Version: Version, Commit: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	v.Version = cmp.Or(v.Version, info.Main.Version, "(devel)")
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

// Line formats it in one line for people.
func (v Info) Line(program string) string {
	return fmt.Sprintf("%s %s (commit %s, %s, %s)", program, v.Version, v.Commit, v.Go, v.Platform)
}
