package check

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/finding"
	hostbind "github.com/gpuworker/gpuworker/internal/host/bind"
	hostcapture "github.com/gpuworker/gpuworker/internal/host/capture"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// said is the part of a finding that people read.
type said struct {
	expectation
	reason, fix, then string
}

// An unreadable process has another number in a capture.
var anyProcess = regexp.MustCompile(`process \d+`)

func sameSaid(t *testing.T, host, captured *Report) {
	t.Helper()
	all := func(r *Report) (all []said) {
		for _, f := range everything(r) {
			all = append(all, said{expectation{f.ID, f.Verdict, f.AfterReboot, f.Where.Card.String()}, anyProcess.ReplaceAllString(f.Reason, "process N"), f.Fix, f.Then})
		}
		return all
	}
	if diff := cmp.Diff(all(host), all(captured), cmp.AllowUnexported(expectation{}, said{})); diff != "" {
		t.Errorf("(-host +captured):\n%s", diff)
	}
}

// TestTheLogAndTheInitramfsAreCapturedToo covers the inputs that are not files of the
// tree: the log of the kernel and the listing of an initramfs.
func TestTheLogAndTheInitramfsAreCapturedToo(t *testing.T) {
	const image = "/boot/initrd.img-6.14.8-2-pve"
	log := []byte("[ 5.1] canary: not for others\n[ 9.1] vfio-pci 0000:02:00.0: not ready 65535ms after bus reset; giving up\n")
	record := hostbind.CardFile(t4.Slot)
	for name, listing := range map[string]hostbind.Listing{
		"our record is in the image":       {Text: "etc/canary\n" + record + "\n"},
		"our record is not in the image":   {Text: "etc/canary\n"},
		"nobody could look into the image": {Err: errors.New("exit status 1")},
	} {
		t.Run(name, func(t *testing.T) {
			tree := load(t, "08f-bound-by-us-in-the-initramfs.txt").tree
			tree.Remove("captured")
			images := map[string]hostbind.Listing{image: listing}
			captured, err := hostcapture.Capture(tree, hostcapture.Options{KernelLog: log, Images: images})
			if err != nil {
				t.Fatal(err)
			}
			host := Run(tree, Options{KernelLog: log, Images: images})
			if !slices.ContainsFunc(everything(host), func(f Finding) bool { return f.ID == finding.HostResetMissing && f.Verdict == finding.Fail }) {
				t.Errorf("the log has no effect:\n%s", tell(notable(host)))
			}
			sameSaid(t, host, Run(captured, Options{}))
			if strings.Contains(string(captured.Format()), "canary") {
				t.Error("more came out than is needed")
			}
		})
	}
}

// TestACaptureIsJudgedLikeTheHost ensures that everything that the checks read is
// captured: the findings on a capture are those that the user saw.
func TestACaptureIsJudgedLikeTheHost(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			captured, err := hostcapture.Capture(f.tree, hostcapture.Options{})
			if err != nil {
				t.Fatal(err)
			}
			again, err := hosttree.Parse(captured.Format())
			if err != nil {
				t.Fatal(err)
			}
			want, got := Run(f.tree, Options{}), Run(again, Options{})
			sameSaid(t, want, got)
		})
	}
}
