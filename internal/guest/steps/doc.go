// Package steps makes a VM a worker: the bootstrap. It goes through a fixed list of steps.
// Each one looks first, changes only what is not yet as it should be, and is recorded in
// the status. So it may be killed, or the VM restarted, at any moment: the next run
// continues.
package steps
