// Package pve is a client for the REST API of Proxmox VE 8.4 and 9. It has about
// forty calls, uses the standard library only, and makes two promises.
//
// First, the cause of an error is preserved. Proxmox answers most errors with
// status 500 and puts the cause in the text, sometimes only in the HTTP reason
// phrase, sometimes only in the log of a task. Every error of a call is an
// [*Error]. Its [Kind] is named after the decision of the caller. It has the
// server's own text, the place, the refused parameters and the last lines of the
// task's log:
//
//	if pve.KindOf(err) == pve.Changed {
//		// somebody else wrote the configuration: read it again
//	}
//
// Second, a write is never sent twice. Reads are retried after a lost connection;
// writes are not, because a clone that is sent twice makes two VMs. If it is not
// known whether a write was carried out, the error's field Ambiguous is true. (The
// only exception is a 401 for an expired login ticket: the server did nothing, so
// the request is sent again after a new login.)
//
// # Tasks
//
// Long operations are tasks. A call that starts one returns a [Task], and
// [Task.Poll] asks whether it has ended. Keep the [UPID]: with it, [Client.Task]
// finds the task again, also after a crash. A task that ends with warnings has
// succeeded. A task that fails may have done part of its work, and a VM can be
// running although its start failed: read the state again before acting.
//
// # Safe changes
//
// The configuration of a VM and the resource mappings have a digest. An update
// that names the digest it is based on fails with [Changed] if the configuration was
// changed meanwhile. [Client.Pending] reads the current values, the pending ones and
// the digest in one call.
//
// # Secrets
//
// Passwords, token secrets and tickets never appear in errors, log records or
// printed [Options] and [Client], even if a server sends them back.
package pve
