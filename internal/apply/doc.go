// Package apply carries out a Plan. Advance calls one step of one worker and
// returns. Run calls it for all workers of a plan, with limits on parallel work,
// until each worker is done or has failed. No state is kept: after a crash, the next
// plan has the remaining steps.
package apply
