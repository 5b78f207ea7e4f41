// Package check says, layer by layer, whether what the documents ask for can
// be had: what passes, what fails, what nobody could see, and what to do. It is
// pure, and it judges by the same functions by which package place refuses: what
// check passes, plan does not refuse.
package check
