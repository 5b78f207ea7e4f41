// Package hypervisor declares what the engine needs of a hypervisor: a Source to
// observe it and a Target to change it. Each backend implements both. Package
// backendtest tests every backend against the rules that are written here.
package hypervisor
