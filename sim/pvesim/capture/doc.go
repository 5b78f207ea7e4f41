// Package capture turns a real Proxmox VE cluster into a world of pvesim. It reads
// everything that its login may see, with GET requests only, replaces names, addresses
// and identities by pseudonyms, and leaves out secrets.
//
//	result, err := capture.Capture(ctx, capture.Options{Endpoint: endpoint, Token: token, Fingerprint: fingerprint})
//	file, err := result.YAML()
//
// The data flows in one direction: read (reader) → answers (cluster) → replace names and
// build (builder) → pvesim.World and notes → YAML.
//
// The requests are made in client.go and not by the client pve. Nothing under sim may
// import that client, so that the same misunderstanding of the API cannot be in both the
// simulator and the client that is tested against it. A capture needs about twenty reads
// and no tasks, so little code is duplicated.
//
// # What cannot be captured
//
// Objects that a login may not see, data that the API does not return (kernel drivers),
// and features that a world does not support are reported as a Note. The notes are at
// the top of the file and are printed.
//
// # Repeatability
//
// The same cluster gives the same bytes, whatever the order of its answers: pseudonyms
// are numbered in the natural order of names or of VM numbers. A capture of a captured
// world gives the same file.
package capture
