package e2e

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	gpuworker "github.com/gpuworker/gpuworker/cmd/gpuworker/app"
	pvesim "github.com/gpuworker/gpuworker/cmd/pvesim/app"
	"github.com/gpuworker/gpuworker/internal/buildinfo"
	hostcli "github.com/gpuworker/gpuworker/internal/host/cli"
)

func TestMain(m *testing.M) {
	// The race detector sleeps for a second at the end of each process, and the scripts
	// start many processes.
	if os.Getenv("GORACE") == "" {
		os.Setenv("GORACE", "atexit_sleep_ms=10")
	}
	testscript.Main(m, map[string]func(){
		"gpuworker": func() { os.Exit(gpuworker.Main()) },
		"gpuworker-host": func() {
			tool := hostcli.Tool{Out: os.Stdout, Err: os.Stderr, Version: buildinfo.Info{Version: "v0.0.0-test"}}
			os.Exit(tool.Main(os.Args[1:]))
		},
		"pvesim": func() { os.Exit(pvesim.Main()) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/script",
		Setup:              setUp,
		RequireUniqueNames: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":    exits,
			"onlyjson": onlyJSON,
			"fault":    injectFault,
			"await":    await,
			"vms":      listVMs,
			"mappings": listMappings,
			"written":  written,
			"root":     rootCall,
			"replay":   replay,
		},
	})
}
