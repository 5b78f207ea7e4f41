package pve

import (
	"net/url"
	"strings"
)

// EncodeSSHKeys encodes public keys in the form of authorized_keys for a VM's option
// sshkeys. The API requires a URL-encoded value, in addition to the encoding of the
// form. It accepts only %20 for a space: "+" is answered with 400 "invalid urlencoded
// string".
func EncodeSSHKeys(keys []string) string {
	var lines []string
	for _, key := range keys {
		if key = strings.TrimSpace(key); key != "" {
			lines = append(lines, key)
		}
	}
	return escapeSpaces(url.QueryEscape(strings.Join(lines, "\n")))
}

// escapeSpaces writes the spaces of an encoded form as %20, which all parts of Proxmox
// VE accept. A "+" of the original text is already encoded as %2B.
func escapeSpaces(encoded string) string {
	return strings.ReplaceAll(encoded, "+", "%20")
}
