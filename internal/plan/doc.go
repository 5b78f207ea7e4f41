// Package plan is the plan as data: what a person asks for, and for each worker
// what would be done, where and why, what was refused and why. A plan is printed,
// written as JSON, read again, and compared with one that was made later. Package
// planner decides it, package apply carries it out.
package plan
