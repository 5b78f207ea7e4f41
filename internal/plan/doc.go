// Package plan turns documents and an observed world into a Plan: what would be
// done for each worker, why there, what was refused and why. It is pure: no
// clock, no network, no randomness; the same input gives the same plan, byte
// for byte.
//
// There is no state file. What remains of an incomplete worker is computed from
// what the hypervisor shows, so the plan after a crash is simply the rest of
// the steps.
package plan
