package cli

import (
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/buildinfo"
	"github.com/gpuworker/gpuworker/internal/logging"
)

// addLogFlag adds -v. It counts, so that -v, -vv and -v=2 all work.
func (a *app) addLogFlag(root *cobra.Command) {
	root.PersistentFlags().CountVarP(&a.verbosity, "log", "v",
		"write a log to standard error; `LEVEL` 1 (-v): each change; 2 (-v=2 or -vv):\nalso each API call (-v 2 does not work, the equals sign is needed)")
}

// startLog creates the logger of this command after the flags are parsed.
func (a *app) startLog(cmd *cobra.Command) {
	var to io.Writer = a.Err
	format := logging.Text
	if !a.forPeople() {
		to, format = a.Err.guard.Whole(), logging.JSON
	}
	log := logging.New(to, format, a.verbosity)
	a.mu.Lock()
	a.log = log
	a.mu.Unlock()
	this := buildinfo.This()
	log.Info("start", "command", cmd.CommandPath(), "version", this.Version, "commit", this.Commit)
}

// logger returns the logger of this command; it is silent before the flags are parsed.
func (a *app) logger() *slog.Logger {
	a.mu.Lock()
	defer a.mu.Unlock()
	return logging.OrSilent(a.log)
}

// logs reports whether -v was given.
func (a *app) logs() bool { return a.verbosity > logging.Silent }
