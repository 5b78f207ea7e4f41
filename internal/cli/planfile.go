package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/machine"
	"github.com/gpuworker/gpuworker/internal/phrase"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// Limits of a plan file. A plan that creates five thousand workers has 13 MiB of JSON
// and a tenth of the parts. YAML needs more memory to read.
const (
	maxPlanFile  = 32 << 20 // bytes
	maxPlanYAML  = 16 << 20
	maxPlanParts = 1 << 20 // objects and lists
)

// applyFile carries out the plan of a file. The file is not trusted: the plan is made
// again, and must be the same as the one in the file, or the rest of it.
func (a *app) applyFile(ctx context.Context, name string, flags plan.Request, s applyMode) error {
	if flags.AllowRestart || flags.AllOrNothing {
		return usage("--allow-restart and --all-or-nothing belong to the command that made the plan, not to apply --plan")
	}
	read, err := a.readPlan(ctx, name)
	if err != nil {
		return err
	}
	how := applyModes[read.Request.Verb]
	how.yes, how.dryRunOnly, how.parallel, how.addressWait, how.guestWait = s.yes, s.dryRunOnly, s.parallel, s.addressWait, s.guestWait
	e, err := a.sessionWith(read.Documents.Documents)
	if err != nil {
		return err
	}
	request := read.Request
	request.KeepRecent = how.yes // --yes does not confirm the end of a VM that a replace has just made
	current, err := e.plan(ctx, request)
	if err != nil {
		return err
	}
	if same, differences := current.Remain(read); !same {
		return &fault.Error{
			Kind: fault.Conflict, Doing: "apply the plan in " + name,
			Why: "the world changed since the plan was made, or the file was edited; nothing was done: " + phrase.First(differences, 10, "; "),
			Fix: "make a new plan, look at it and apply it",
		}
	}
	if request.ByName() || request.Verb == plan.AdoptVM {
		return a.applyNamed(ctx, e, current, how)
	}
	return a.confirmAndApply(ctx, e, current, how)
}

// readPlan reads a plan file strictly, and checks that its Hypervisors may be trusted
// with logins.
func (a *app) readPlan(ctx context.Context, name string) (engine.Plans, error) {
	file, err := a.readOwned(ctx, name)
	if err != nil {
		return engine.Plans{}, err
	}
	plans, err := parsePlan(file.data)
	if err != nil {
		return engine.Plans{}, &fault.Error{
			Kind: fault.Invalid, Doing: "read the plan in " + name, Cause: err,
			Fix: "write it again, with -o json, by the command that wrote it",
		}
	}
	return plans, a.trusted(ctx, name, file.private, plans)
}

// parsePlan reads a plan that -o json or -o yaml wrote.
func parsePlan(data []byte) (engine.Plans, error) {
	text, err := planJSON(data)
	if err != nil {
		return engine.Plans{}, err
	}
	plans, err := decodePlan(text)
	if err != nil && cutOff(text) {
		err = fmt.Errorf("a text in it was longer than %d bytes and was cut off: %w", machine.MaxString, err)
	}
	return plans, err
}

// planJSON converts a file to JSON, and refuses one that is too large for a plan.
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
		return nil, fmt.Errorf("it has more than %d objects and lists, so it is not a plan", maxPlanParts)
	}
	return text, nil
}

// decodePlan reads a plan strictly: a field that is unknown, repeated, or in the wrong
// case is an error.
func decodePlan(text []byte) (engine.Plans, error) {
	var read struct {
		planView
		Warnings []string `json:"warnings"` // of the command that wrote it
	}
	strict, err := kjson.UnmarshalStrict(text, &read)
	if err = errors.Join(err, errors.Join(strict...)); err != nil {
		return engine.Plans{}, err
	}
	_, known := applyModes[read.Request.Verb]
	switch {
	case read.Documents.Documents == nil:
		return engine.Plans{}, errors.New("it has no documents, so it is not a plan")
	case !known:
		return engine.Plans{}, fmt.Errorf("request.verb: %q is not a known verb", read.Request.Verb)
	case !read.Intact():
		return engine.Plans{}, errors.New("its request or its documents were edited after the plan was made")
	}
	return read.Plans, nil
}

// cutOff reports whether a plan has a text that -o json shortened.
func cutOff(text []byte) bool {
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		if value, ok := token.(string); ok && len(value) > machine.MaxString/6 && strings.HasSuffix(value, "…") { // an escaped byte takes six
			return true
		}
	}
}

// trusted returns an error unless the plan's Hypervisors may be trusted with logins:
// they are those of -f, or the file is private to this user.
func (a *app) trusted(ctx context.Context, name string, private bool, read engine.Plans) error {
	if len(a.files) == 0 && a.getenv("GPUWORKER_FILE") == "" {
		if private {
			a.documentsInPlan = true
			warnings, _ := read.Documents.Validate() // they were valid when they were read
			for _, warning := range warnings {
				a.warn(warning.String())
			}
			return nil
		}
		return &fault.Error{
			Kind: fault.Refused, Doing: "trust the plan in " + name,
			Why: "its Hypervisors say where logins are sent, and others may write the file: it must be a regular file that belongs to you and that nobody else may write",
			Fix: "give your documents too, with -f; or take the write permission from others: chmod go-w FILE",
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
			Fix: "make a new plan with these documents",
		}
	}
	return nil
}

// ownedFile is the content of a file. private: it is a regular file that belongs to the
// user of this process, and nobody else may write it.
type ownedFile struct {
	data    []byte
	private bool
}

// readOwned reads a file up to the size limit, or standard input. A pipe may never
// end: the context ends the read.
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
		info, err := file.Stat() // of the open file: the name may mean another file later
		if err != nil {
			return read, err
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); ok {
			read.private = info.Mode().IsRegular() && int(owner.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0
		}
		from = file
	}
	read.data, err = io.ReadAll(io.LimitReader(from, maxPlanFile+1))
	if err == nil && len(read.data) > maxPlanFile {
		err = fmt.Errorf("it is larger than %d MiB, so it is not a plan", maxPlanFile>>20)
	}
	return read, err
}
