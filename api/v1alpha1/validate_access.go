package v1alpha1

import (
	"encoding/base64"
	"encoding/binary"
	"regexp"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

func (o *object) access(path string, a Access) {
	if a.User != "" && !userForm.MatchString(a.User) {
		o.errorf(fieldpath.Under(path, "user"), "%s is not a user name; use at most 32 lower-case letters, digits, - and _, and do not begin with a digit or hyphen", phrase.Quote(a.User))
	}
	seen := make(map[string]int)
	for i, key := range a.SSHKeys {
		at := fieldpath.Item(fieldpath.Under(path, "sshKeys"), i)
		if wrong := sshKeyProblem(key); wrong != "" {
			o.errorf(at, "%s", wrong)
			continue
		}
		words := strings.Fields(key)
		if first, twice := seen[words[1]]; twice {
			o.errorf(at, "is the same key as %s", fieldpath.Item(fieldpath.Under(path, "sshKeys"), first))
			continue
		}
		seen[words[1]] = i
	}
}

// userForm matches the names that useradd accepts on Debian and Ubuntu.
var userForm = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)

// sshKeyTypes are the types of public keys that current OpenSSH accepts (sshd(8),
// AUTHORIZED_KEYS FILE FORMAT). ssh-dss is disabled since OpenSSH 9.8.
var sshKeyTypes = []string{
	"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
	"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
}

// sshKeyProblem says what is wrong with a public key. It never repeats the text, which
// may be a private key.
func sshKeyProblem(text string) string {
	const example = `write the line of the .pub file, "ssh-ed25519 AAAA… name"`
	trimmed := strings.TrimSpace(text)
	if strings.Contains(text, "PRIVATE KEY") || strings.HasPrefix(trimmed, "PuTTY-User-Key-File") {
		return "this is a PRIVATE key: it must never be in a document, and anybody who saw this file can log in with it. Make a new key pair, and " + example
	}
	words := strings.Fields(trimmed)
	switch {
	case len(words) == 0:
		return "is empty; " + example
	case strings.ContainsAny(trimmed, "\r\n"):
		return "has several lines; write one key in each entry"
	case words[0] == "ssh-dss":
		return "is a DSA key, which current OpenSSH does not accept; make an ed25519 key"
	case strings.HasPrefix(words[0], "~") || strings.HasPrefix(words[0], "/") || strings.HasSuffix(trimmed, ".pub"):
		return "is the name of a file; " + example
	case !slices.Contains(sshKeyTypes, words[0]):
		return "does not begin with a type of key (ssh-ed25519, ssh-rsa, ecdsa-sha2-…); " + example + ", without options before it"
	case len(words) < 2 || !isKeyBlob(words[0], words[1]):
		return "is cut off or damaged: the text after " + words[0] + " is not a key of this type; copy the whole line of the .pub file"
	}
	return ""
}

// isKeyBlob reports whether the base64 text is a key of the type: it begins with the
// name of the type (RFC 4253, 6.6), and is long enough for a key.
func isKeyBlob(kind, text string) bool {
	blob, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(blob) < 4 {
		return false
	}
	length := int(binary.BigEndian.Uint32(blob))
	const smallestKey = 32 // ed25519; all others are longer
	return length == len(kind) && len(blob) >= 4+length+smallestKey && string(blob[4:4+length]) == kind
}
