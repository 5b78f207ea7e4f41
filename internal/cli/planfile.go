package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"sigs.k8s.io/yaml"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/machine"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// maxPlanFile is how large a plan may be, in bytes: one of five thousand workers
// takes a fifth of it.
const maxPlanFile = 64 << 20

// manners are how each verb shows its plan and has it confirmed.
var manners = map[plan.Verb]spending{
	plan.ApplyDocuments: {question: "Apply this plan?"},
	plan.ReplaceWorkers: {question: "Replace?", dryRun: true},
	plan.DeleteWorkers:  {dryRun: true, goneIsDone: true},
	plan.ParkWorkers:    {question: "Park?"},
	plan.UnparkWorkers:  {question: "Unpark?"},
	plan.AdoptVM:        {question: "Adopt this VM?"},
	plan.ReleaseOrphans: {dryRun: true},
}

// applyFile carries out the plan of a file. Nothing of the file is believed: the
// plan is made again, and must come out the same.
func (a *app) applyFile(ctx context.Context, name string, flags plan.Request, s spending) error {
	if flags.AllowRestart || flags.AllOrNothing {
		return usage("--allow-restart and --all-or-nothing belong to the command that made the plan, not to apply --plan")
	}
	read, err := a.readPlan(ctx, name)
	if err != nil {
		return err
	}
	how, known := manners[read.Request.Verb]
	if !known {
		return badPlan(name, fmt.Errorf("%q is no verb", read.Request.Verb))
	}
	how.yes, how.parallel = s.yes, s.parallel
	e, err := a.sessionWith(read.Documents)
	if err != nil {
		return err
	}
	request := read.Request
	request.KeepRecent = how.yes // a yes that nobody is asked for covers no new VM
	fresh, err := e.plan(ctx, request)
	if err != nil {
		return err
	}
	if same, differences := fresh.Same(read.Plans); !same {
		return &fault.Error{
			Kind: fault.Conflict, Doing: "apply the plan in " + name,
			Why: "the world changed since the plan was made, or the file was edited; nothing was done: " + strings.Join(differences, "; "),
			Fix: "make the plan anew, look at it and apply that",
		}
	}
	if request.ByName() || request.Verb == plan.AdoptVM {
		return a.care(ctx, e, fresh, how)
	}
	return a.spend(ctx, e, fresh, how)
}

// readPlan reads a plan file strictly, and makes sure that it sends logins nowhere
// but where its user means them to go.
func (a *app) readPlan(ctx context.Context, name string) (planView, error) {
	data, mine, err := readOwned(name)
	if err != nil {
		return planView{}, unreadable(name, err)
	}
	var read planView
	text, err := yaml.YAMLToJSONStrict(data) // JSON is YAML too
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		err = decoder.Decode(&read)
	}
	switch {
	case err != nil:
	case read.Documents == nil:
		err = errors.New("it holds no documents")
	case cutOff(text):
		err = fmt.Errorf("a text in it is longer than %d bytes, and the rest of it was cut off", machine.MaxString)
	}
	if err != nil {
		return planView{}, badPlan(name, err)
	}
	return read, a.trusted(ctx, name, mine, read.Plans)
}

// cutOff reports whether a text in a plan is so long that -o json may have left the
// rest of it out.
func cutOff(text []byte) bool {
	const room = 64 // for the quotes, the longest escape and what stands for the rest
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		if value, ok := token.(string); ok && len(strconv.QuoteToASCII(value)) > machine.MaxString-room {
			return true
		}
	}
}

// trusted is the error for a plan whose Hypervisors nobody vouches for.
func (a *app) trusted(ctx context.Context, name string, mine bool, read engine.Plans) error {
	if len(a.files) == 0 && a.getenv("GPUWORKER_FILE") == "" {
		if mine {
			return nil
		}
		return &fault.Error{
			Kind: fault.Refused, Doing: "trust the plan in " + name,
			Why: "its Hypervisors say where logins are sent, and the file is not yours alone: it must be a file of yours that nobody else may write",
			Fix: "give your documents too, with -f, or: chmod go-w FILE",
		}
	}
	documents, err := a.documents(ctx)
	if err != nil {
		return err
	}
	if !documents.SameLogins(read.Documents) {
		return &fault.Error{
			Kind: fault.Refused, Doing: "trust the plan in " + name,
			Why: "its Hypervisor documents are not those of -f or GPUWORKER_FILE, so its logins would be sent elsewhere",
			Fix: "make the plan anew with these documents",
		}
	}
	return nil
}

// readOwned reads a file of bounded size. mine reports whether it belongs to the
// user of this process and nobody else may write it.
func readOwned(name string) (data []byte, mine bool, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat() // of what was opened, whatever the name stands for later
	if err != nil {
		return nil, false, err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		mine = info.Mode().IsRegular() && int(owner.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0
	}
	data, err = io.ReadAll(io.LimitReader(file, maxPlanFile+1))
	if err == nil && len(data) > maxPlanFile {
		err = fmt.Errorf("it is larger than %d MiB, so it is no plan", maxPlanFile>>20)
	}
	return data, mine, err
}

func badPlan(name string, err error) error {
	return &fault.Error{
		Kind: fault.Invalid, Doing: "read the plan in " + name, Cause: err,
		Fix: "make it anew: gpuworker plan -o json > FILE",
	}
}
