// Package hypervisor declares what the engine needs of a hypervisor: a Source to
// look at it and a Target to change it. Each backend implements them, and
// imports nothing else of ours but data. Package backendtest holds every backend
// to what is written here.
package hypervisor
