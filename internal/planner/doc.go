// Package planner turns documents and an observed hypervisor into a plan. It is
// pure: no clock, no network, no randomness; the same input gives the same plan,
// byte for byte.
//
// There is no state file. The steps that an incomplete worker still needs are
// computed from what the hypervisor shows, so after a crash a new plan has the
// remaining steps.
package planner
