// Package pve is a client for the REST API of Proxmox VE 8.4 and 9: about
// forty calls, the standard library only, and two promises.
//
// The first is that the meaning of an error arrives. Proxmox answers almost
// everything with status 500 and puts the cause in the text, sometimes only in
// the HTTP reason phrase, sometimes only in the log of a task. Every error of a
// call is an [*Error] whose [Kind] is named after what the caller
// should decide, with the server's own text, the place, the parameters that
// were refused and the last lines of the task's log:
//
//	if pve.KindOf(err) == pve.Changed {
//		// somebody else wrote the configuration: read it again
//	}
//
// The second is that nothing is done twice. Reads are repeated after a lost
// connection; writes never are, because a clone that is sent twice is two
// clones. When it is not known whether a write was carried out, the error says
// so in its field Ambiguous. (The one exception is a 401 for an expired login
// ticket: the server did nothing, so the request is sent once more after a new
// login.)
//
// # Tasks
//
// What takes time is a task. A call that starts one returns a [Task], and
// [Task.Poll] asks whether it has ended. Keep the [UPID]: [Client.Task] takes it
// up again, after a crash too. A task that ends with warnings has succeeded. A
// task that fails may still have done part of its work, and a VM can be running
// although its start failed: look again before acting.
//
// # Safe changes
//
// The configuration of a VM and the resource mappings have a digest. An update
// that names the digest it was based on fails with [Changed] when somebody was
// faster. [Client.Pending] reads what is current, what waits for the next start
// and the digest in one call.
//
// # Secrets
//
// Passwords, token secrets and tickets appear in no error, no log record and
// no printed [Options] or [Client], also where a server sends them back.
package pve
