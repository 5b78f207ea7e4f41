// Package backendtest is the conformance suite of hypervisor.Backend: scenarios for
// the rules in the doc comments of package hypervisor. Every backend runs it in its
// own tests, against a simulator of its hypervisor.
//
// The suite works with any hypervisor. Each backend provides a Lab: backends on one
// simulated world, and an Operator, a person who changes VMs at the same time. The
// order in which a worker is made depends on the capabilities.
//
// Every call is checked: it must not take longer than callLimit of simulated time,
// send more than one request that writes, or fail without a next step.
package backendtest
