package cli

import (
	"bytes"
	"flag"

	hostcapture "github.com/gpuworker/gpuworker/internal/host/capture"
	"github.com/gpuworker/gpuworker/internal/term"
)

func captureCommand() command {
	return command{
		name: "capture", args: "-o FILE", summary: "copy the relevant data of this host into one text file",
		long: `Copy the data of this host that matters for GPU passthrough into one text file: for a bug
report, or to examine it on another machine with --root FILE. Serial numbers, MAC and IP
addresses, UUIDs, names of VMs and everything unrelated are left out. Read the file before you
send it. Run the command as root, otherwise the file lacks data that only root can see.`,
		example: "  gpuworker-host capture -o pve1.txt\n  gpuworker-host list --root pve1.txt\n  ssh root@pve1 gpuworker-host capture -o - > pve1.txt",
		output:  "the `FILE` to write, which must not exist yet; - for standard output",
		flags: func(t *Tool, _ *flag.FlagSet) func([]string) error {
			return func(args []string) error {
				if len(args) > 0 || t.output == "" {
					return usage("capture takes -o FILE and nothing else")
				}
				return t.capture(t.output)
			}
		},
	}
}

func (t *Tool) capture(name string) error {
	archive, err := hostcapture.Capture(t.tree, hostcapture.Options{Taken: t.taken(), KernelLog: t.kernelLog(), Images: t.images()})
	if err != nil {
		return err
	}
	text := archive.Format()
	if name == "-" {
		if t.Width > 0 { // a terminal
			text = bytes.ReplaceAll(text, []byte("\t"), []byte(" "))
		}
		_, err := t.bytes.Write(text)
		return err
	}
	if err := createFile(name, text); err != nil {
		return err
	}
	term.Fprintf(t.Out, "Wrote %s. Read it, then attach it to your bug report.\n", name)
	return nil
}
