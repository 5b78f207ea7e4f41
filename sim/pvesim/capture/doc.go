// Package capture turns a real Proxmox VE cluster into a world of pvesim: it
// reads all that its login may see, by GET requests only, puts pseudonyms in
// the place of names, addresses and identities, and leaves secrets out.
//
//	result, err := capture.Capture(ctx, capture.Options{Endpoint: endpoint, Token: token, Fingerprint: fingerprint})
//	file, err := result.YAML()
//
// It flows in one direction: read (reader) → what the cluster said (cluster) →
// scrub and build (builder) → pvesim.World and notes → YAML.
//
// The requests are made here, in client.go, and not by the client pve: nothing
// under sim may know that client, so that one misreading of the API cannot hide
// in both the simulator and the client that is tested against it. A capture
// read through pve would hand its misreadings to the simulator as a world. A
// capture needs a score of reads and no tasks, so little is doubled.
//
// # What cannot be captured
//
// What a login may not see, what the API does not show (kernel drivers) and
// what a world has no room for is a Note, never an omission: notes head the
// file and go to the person who captures.
//
// # Repeatability
//
// The same cluster gives the same bytes, whatever the order of its answers:
// pseudonyms are counted in the natural order of names or of VM numbers. A
// captured world that is captured again gives the same file.
package capture
