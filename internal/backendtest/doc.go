// Package backendtest is the conformance suite of hypervisor.Backend: what the doc
// comments of package hypervisor promise, as scenarios. Every backend passes it, in
// its own tests, over a simulator of its hypervisor.
//
// The suite knows no hypervisor. What it needs of one is a Lab: backends on one
// simulated world, and the hands of a person who changes VMs beside them. In which
// order a worker is made follows from the capabilities.
//
// Every call is watched: none may take longer than callLimit of simulated time, send
// more than one request that writes, or fail without saying what to do next.
package backendtest
