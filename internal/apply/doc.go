// Package apply carries out a Plan. Advance does one step of one worker and
// returns; Run calls it for all workers of a plan, bounded, until each is done,
// for a program that has nothing else to do meanwhile. No state is kept: after a
// crash the next plan holds the steps that remain.
package apply
