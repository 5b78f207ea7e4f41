package apply

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/term"
)

// notBegun waits for the first status of gpuworker-guest. After a while cloud-init is
// asked whether it will come.
func (j *Job) notBegun() *hypervisor.Wait {
	if j.guest.missingSince.IsZero() {
		j.guest.missingSince = time.Now()
	}
	if time.Since(j.guest.missingSince) < unbegunLimit {
		return awaitBegin
	}
	j.guest.asked, j.guest.missingSince = true, time.Now()
	return &hypervisor.Wait{For: awaitBegin.For}
}

var awaitBegin = &hypervisor.Wait{For: "cloud-init, and gpuworker-guest to begin", CallAfter: guestEvery}

// askCloudInit asks cloud-init whether it is at work. When it had ended the last time too,
// gpuworker-guest will not begin by itself.
func (j *Job) askCloudInit(ctx context.Context, to hypervisor.Backend) (*hypervisor.Wait, error) {
	result, wait, err := to.RunInGuest(ctx, j.Ref, []string{"cloud-init", "status", "--format=json"}, j.Handle)
	if wait != nil {
		wait.For = awaitBegin.For
		return wait, nil
	}
	j.guest.asked = false
	if err != nil { // the answer would only tell more
		return awaitBegin, nil
	}
	ended, problem := cloudInitEnd(result.Out)
	if !ended || !j.guest.ended {
		j.guest.ended = ended
		return awaitBegin, nil
	}
	why := "cloud-init has ended, and gpuworker-guest did not begin"
	if problem != "" {
		why += ": " + problem
	}
	return nil, j.guestError(fault.Failed, finding.GuestCloudInit, why, "log in and read /var/log/cloud-init-output.log, or look at the VM's console")
}

// cloudInitEnd reads the answer of cloud-init status: whether it has ended, and its first
// error. The text comes from a guest.
func cloudInitEnd(text string) (ended bool, problem string) {
	var status struct {
		Status string   `json:"status"`
		Detail string   `json:"detail"`
		Errors []string `json:"errors"`
	}
	if json.Unmarshal([]byte(text), &status) != nil {
		return false, ""
	}
	problem = status.Detail
	if len(status.Errors) > 0 {
		problem = status.Errors[0]
	}
	const most = 300
	problem = strings.ToValidUTF8(problem[:min(len(problem), most)], "")
	return slices.Contains([]string{"done", "error", "disabled"}, status.Status), string(term.Clean(problem))
}
