// Package check checks, layer by layer, whether the documents can be applied: what
// passes, what fails, what is unknown, and what to do. It is pure and uses the same
// functions as package place, so a plan does not refuse what check passes.
package check
