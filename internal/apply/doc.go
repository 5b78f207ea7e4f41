// Package apply carries out a Plan: several workers at a time, the steps of
// each in order, each step safe to repeat. It keeps no state: after a crash the
// next plan holds the steps that remain.
package apply
