package apply

import (
	"context"
	"time"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// Domain is the system that a step looks at and changes.
type Domain string

// The domains.
const (
	Hypervisor Domain = "hypervisor"
	Guest      Domain = "guest"
)

// Step describes one kind of step.
type Step struct {
	Domain Domain
	// Deadline is how long the step may take, with all its waits, but without the
	// time that it is queued before its work begins.
	Deadline time.Duration
	// Late is the finding that names the cause when the deadline passes.
	Late finding.ID
	// Warns: a failure of the step is only a warning, since the worker runs as
	// declared without it. Its later steps are done.
	Warns bool

	do func(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error)
}

// DefaultAddressWait is how long a VM that was started is given to report an address
// through its guest agent, when Options say nothing else.
const DefaultAddressWait = 5 * time.Minute

// DefaultGuestWait is how long a guest is given to become as ordered: a driver of several
// hundred MB from a slow mirror takes half an hour.
const DefaultGuestWait = 45 * time.Minute

// Steps has a row for each kind of step.
var Steps = map[plan.StepKind]Step{
	plan.StepSettle:    {Hypervisor, 90 * time.Minute, finding.StepCloneLate, false, settle},
	plan.StepClaim:     {Hypervisor, 5 * time.Minute, finding.StepClaimLate, false, claim},
	plan.StepClone:     {Hypervisor, 3 * time.Hour, finding.StepCloneLate, false, clone},
	plan.StepConfigure: {Hypervisor, 5 * time.Minute, finding.StepWriteLate, false, configure},
	plan.StepAttach:    {Hypervisor, 5 * time.Minute, finding.StepWriteLate, false, attach},
	plan.StepStart:     {Hypervisor, time.Hour, finding.StepPowerLate, false, start},
	plan.StepAgent:     {Guest, DefaultAddressWait, finding.StepAgentLate, true, agent},
	plan.StepSeed:      {Hypervisor, 30 * time.Minute, finding.StepSeedLate, false, seed},
	plan.StepDeliver:   {Guest, 30 * time.Minute, finding.StepGuestLate, false, deliver},
	plan.StepBootstrap: {Guest, DefaultGuestWait, finding.StepGuestLate, false, bootstrapped},
	plan.StepOrders:    {Guest, 5 * time.Minute, finding.StepAgentLate, true, orders},
	plan.StepExchange:  {Hypervisor, 30 * time.Minute, finding.StepSeedLate, false, exchange},
	plan.StepRecord:    {Hypervisor, 5 * time.Minute, finding.StepWriteLate, false, record},
	plan.StepUnseed:    {Hypervisor, 30 * time.Minute, finding.StepSeedLate, false, unseed},
	plan.StepUnpark:    {Hypervisor, 5 * time.Minute, finding.StepWriteLate, false, unpark},
	plan.StepPark:      {Hypervisor, 5 * time.Minute, finding.StepWriteLate, false, park},
	plan.StepAdopt:     {Hypervisor, 5 * time.Minute, finding.StepWriteLate, false, adopt},
	plan.StepDisown:    {Hypervisor, 5 * time.Minute, finding.StepWriteLate, false, disown},
	plan.StepShutdown:  {Hypervisor, 15 * time.Minute, finding.StepPowerLate, false, shutdown},
	plan.StepUnprotect: {Hypervisor, 5 * time.Minute, finding.StepWriteLate, false, unprotect},
	plan.StepDestroy:   {Hypervisor, time.Hour, finding.StepDestroyLate, false, destroy},
	plan.StepRelease:   {Hypervisor, 5 * time.Minute, finding.StepClaimLate, false, release},
	plan.StepReplaced:  {Hypervisor, 5 * time.Minute, finding.StepWriteLate, false, replaced},
}
