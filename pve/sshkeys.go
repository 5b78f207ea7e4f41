package pve

import (
	"net/url"
	"strings"
)

// EncodeSSHKeys makes the value of a VM's option sshkeys from public keys in
// the form of authorized_keys. The API wants the value URL-encoded by itself,
// below the encoding of the form, and takes %20 only for a space: "+" is
// answered with 400 "invalid urlencoded string".
func EncodeSSHKeys(keys []string) string {
	var lines []string
	for _, key := range keys {
		if key = strings.TrimSpace(key); key != "" {
			lines = append(lines, key)
		}
	}
	return escapeSpaces(url.QueryEscape(strings.Join(lines, "\n")))
}

// escapeSpaces writes the spaces of an encoded form as %20, which every part
// of Proxmox VE understands. A "+" of the text itself is %2B already.
func escapeSpaces(encoded string) string {
	return strings.ReplaceAll(encoded, "+", "%20")
}
