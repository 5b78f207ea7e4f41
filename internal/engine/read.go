package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gpuworker/gpuworker/internal/plan"
)

// Plans that are read from a file are not trusted: they only say what somebody asked
// for and saw. Before an apply, everything is planned again.

// Intact reports whether the request and the documents are those that the plans were
// made for. It detects edits, but does not prove who made the plans.
func (p Plans) Intact() bool {
	sum, err := p.checksum()
	return err == nil && p.Checksum == sum
}

// Sealed are the plans with the checksum of their request and documents.
func (p Plans) Sealed() (Plans, error) {
	sum, err := p.checksum()
	p.Checksum = sum
	return p, err
}

// checksum is the checksum of the request and the documents. It leaves out fields that
// the engine and the apply command set themselves.
func (p Plans) checksum() (string, error) {
	request := p.Request
	request.Now, request.KeepRecent = "", false
	text, err := json.Marshal(Plans{Request: request, Documents: p.Documents})
	if err != nil {
		return "", fmt.Errorf("write the documents as JSON: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:24], nil
}

// Remain reports whether these current plans decide the same as the plans that were
// read, or a remaining part of it; if not, it returns the differences. Hypervisors
// that cannot be observed now are not compared.
func (p Plans) Remain(read Plans) (bool, []string) {
	var differences []string
	for i := range p.Documents.Hypervisors {
		name := p.Documents.Hypervisors[i].Name
		if slices.ContainsFunc(p.Unseen, func(u Unseen) bool { return u.Hypervisor == name }) {
			continue
		}
		_, more := plan.Remains(read.on(name), p.on(name))
		differences = append(differences, more...)
	}
	return len(differences) == 0, differences
}

// on is the plan for a hypervisor; an empty plan when there is none.
func (p Plans) on(hypervisor string) *plan.Plan {
	i := slices.IndexFunc(p.Plans, func(one *plan.Plan) bool { return one != nil && one.Hypervisor == hypervisor })
	if i < 0 {
		return &plan.Plan{Hypervisor: hypervisor}
	}
	return p.Plans[i]
}
