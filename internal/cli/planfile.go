package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/machine"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// How much a plan may be. One that makes five thousand workers has 13 MiB as JSON
// and a tenth of the parts. YAML takes more to read.
const (
	maxPlanFile  = 32 << 20 // bytes
	maxPlanYAML  = 16 << 20
	maxPlanParts = 1 << 20 // objects and lists
)

// applyFile carries out the plan of a file. Nothing of the file is believed: the
// plan is made again, and must come out the same, or as what remains of it.
func (a *app) applyFile(ctx context.Context, name string, flags plan.Request, s manner) error {
	if flags.AllowRestart || flags.AllOrNothing {
		return usage("--allow-restart and --all-or-nothing belong to the command that made the plan, not to apply --plan")
	}
	read, err := a.readPlan(ctx, name)
	if err != nil {
		return err
	}
	how := manners[read.Request.Verb]
	how.yes, how.only, how.parallel = s.yes, s.only, s.parallel
	e, err := a.sessionWith(read.Documents.Documents)
	if err != nil {
		return err
	}
	request := read.Request
	request.KeepRecent = how.yes // a yes that nobody is asked for covers no new VM
	again, err := e.plan(ctx, request)
	if err != nil {
		return err
	}
	if same, differences := again.Remain(read); !same {
		return &fault.Error{
			Kind: fault.Conflict, Doing: "apply the plan in " + name,
			Why: "the world changed since the plan was made, or the file was edited; nothing was done: " + firstFew(differences),
			Fix: "make the plan anew, look at it and apply that",
		}
	}
	if request.ByName() || request.Verb == plan.AdoptVM {
		return a.care(ctx, e, again, how)
	}
	return a.confirmAndApply(ctx, e, again, how)
}

// firstFew joins the first of many differences: the rest a new plan tells.
func firstFew(differences []string) string {
	const few = 10
	if more := len(differences) - few; more > 0 {
		differences = append(slices.Clone(differences[:few]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(differences, "; ")
}

// readPlan reads a plan file strictly, and makes sure that it sends logins nowhere
// but where its user means them to go.
func (a *app) readPlan(ctx context.Context, name string) (engine.Plans, error) {
	file, err := a.readOwned(ctx, name)
	if err != nil {
		return engine.Plans{}, err
	}
	plans, err := parsePlan(file.data)
	if err != nil {
		return engine.Plans{}, &fault.Error{
			Kind: fault.Invalid, Doing: "read the plan in " + name, Cause: err,
			Fix: "make it anew: gpuworker plan -o json > FILE",
		}
	}
	return plans, a.trusted(ctx, name, file.mine, plans)
}

// parsePlan reads a plan as -o json or -o yaml wrote it.
func parsePlan(data []byte) (engine.Plans, error) {
	text, err := planJSON(data)
	if err != nil {
		return engine.Plans{}, err
	}
	plans, err := decodePlan(text)
	if err != nil && cutOff(text) {
		err = fmt.Errorf("a text in it is longer than %d bytes, and the rest of it was cut off: %w", machine.MaxString, err)
	}
	return plans, err
}

// planJSON is a file as JSON, when it may be a plan at all.
func planJSON(data []byte) ([]byte, error) {
	text := data
	switch asJSON := bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")); {
	case !utf8.Valid(data):
		return nil, errors.New("it is not UTF-8 text")
	case asJSON:
	case len(data) > maxPlanYAML:
		return nil, fmt.Errorf("it is YAML of more than %d MiB: write it with -o json", maxPlanYAML>>20)
	default:
		var err error
		if text, err = yaml.YAMLToJSONStrict(data); err != nil {
			return nil, err
		}
	}
	if bytes.Count(text, []byte("{"))+bytes.Count(text, []byte("[")) > maxPlanParts {
		return nil, errors.New("it has more parts than any plan, so it is none")
	}
	return text, nil
}

// decodePlan reads a plan strictly: fields that are not known, written twice or in
// other letters are errors.
func decodePlan(text []byte) (engine.Plans, error) {
	var read struct {
		planView
		Warnings []string `json:"warnings"` // of the command that wrote it
	}
	strict, err := kjson.UnmarshalStrict(text, &read)
	if err = errors.Join(err, errors.Join(strict...)); err != nil {
		return engine.Plans{}, err
	}
	_, known := manners[read.Request.Verb]
	switch {
	case read.Documents.Documents == nil:
		return engine.Plans{}, errors.New("it holds no documents, so it is no plan")
	case !known:
		return engine.Plans{}, fmt.Errorf("request.verb: %q is no verb", read.Request.Verb)
	case !read.Intact():
		return engine.Plans{}, errors.New("its request or its documents were edited after the plan was made, so it is not the plan that somebody looked at")
	}
	return read.Plans, nil
}

// cutOff reports whether a plan has a text that -o json left the end of out.
func cutOff(text []byte) bool {
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		if value, ok := token.(string); ok && len(value) > machine.MaxString/6 && strings.HasSuffix(value, "…") { // six bytes for each, as escapes
			return true
		}
	}
}

// trusted is the error for a plan whose Hypervisors nobody vouches for.
func (a *app) trusted(ctx context.Context, name string, mine bool, read engine.Plans) error {
	if len(a.files) == 0 && a.getenv("GPUWORKER_FILE") == "" {
		if mine {
			a.ownFiles = true
			warnings, _ := read.Documents.Validate() // they were valid when they were read
			for _, warning := range warnings {
				a.warn(warning.String())
			}
			return nil
		}
		return &fault.Error{
			Kind: fault.Refused, Doing: "trust the plan in " + name,
			Why: "its Hypervisors say where logins are sent, and the file is not yours alone: it must be a regular file that belongs to you and that nobody else may write",
			Fix: "give your documents too, with -f; or make the file yours alone: chmod go-w FILE",
		}
	}
	documents, err := a.documents(ctx)
	if err != nil {
		return err
	}
	if !document.SameLogins(documents, read.Documents.Documents) {
		return &fault.Error{
			Kind: fault.Refused, Doing: "trust the plan in " + name,
			Why: "its Hypervisors and KubeClusters are not those of -f or GPUWORKER_FILE, so logins could be sent elsewhere",
			Fix: "make the plan anew with these documents",
		}
	}
	return nil
}

// ownedFile is what a file holds. mine reports whether it is a regular file of the
// user of this process that nobody else may write.
type ownedFile struct {
	data []byte
	mine bool
}

// readOwned reads a file of bounded size, or standard input. A pipe may have
// nothing to say for ever: the end of the context ends the waiting.
func (a *app) readOwned(ctx context.Context, name string) (ownedFile, error) {
	type answer struct {
		file ownedFile
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		file, err := a.openOwned(name)
		read <- answer{file, err}
	}()
	select {
	case <-ctx.Done():
		return ownedFile{}, ctx.Err()
	case r := <-read:
		if r.err != nil {
			return r.file, &fault.Error{Kind: fault.Invalid, Doing: "read " + name, Why: reasonOf(r.err), Fix: "check the name given with --plan"}
		}
		return r.file, nil
	}
}

func (a *app) openOwned(name string) (read ownedFile, err error) {
	from := a.In
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return read, err
		}
		defer func() { _ = file.Close() }()
		info, err := file.Stat() // of what was opened, whatever the name stands for later
		if err != nil {
			return read, err
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); ok {
			read.mine = info.Mode().IsRegular() && int(owner.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0
		}
		from = file
	}
	read.data, err = io.ReadAll(io.LimitReader(from, maxPlanFile+1))
	if err == nil && len(read.data) > maxPlanFile {
		err = fmt.Errorf("it is larger than %d MiB, so it is no plan", maxPlanFile>>20)
	}
	return read, err
}
