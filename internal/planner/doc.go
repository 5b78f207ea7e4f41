// Package planner turns documents and an observed hypervisor into a plan. It is
// pure: no clock, no network, no randomness; the same input gives the same plan,
// byte for byte.
//
// There is no state file. What remains of an incomplete worker is computed from
// what the hypervisor shows, so the plan after a crash is simply the rest of the
// steps.
package planner
