package bind

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
)

// sealMark begins the line that marks a file of gpuworker-host. The checksum of the
// rest of the file follows.
const sealMark = "# Written by gpuworker-host, which also removes it. Do not edit. sha256 "

const shebang = "#!/bin/sh\n"

var (
	errNotOurs = errors.New("it was not written by gpuworker-host")
	errChanged = errors.New("it was written by gpuworker-host and changed since, or it is damaged")
)

// seal adds the line with the checksum to a text.
func seal(text string) []byte {
	head := ""
	if body, script := strings.CutPrefix(text, shebang); script {
		head, text = shebang, body
	}
	sum := sha256.Sum256([]byte(text))
	return []byte(head + sealMark + hex.EncodeToString(sum[:]) + "\n" + text)
}

// unseal verifies the checksum of a file and returns its text.
func unseal(data []byte) (string, error) {
	head := ""
	if body, script := bytes.CutPrefix(data, []byte(shebang)); script {
		head, data = shebang, body
	}
	rest, ours := bytes.CutPrefix(data, []byte(sealMark))
	if !ours {
		return "", errNotOurs
	}
	sum, text, whole := strings.Cut(string(rest), "\n")
	if expected := sha256.Sum256([]byte(text)); !whole || sum != hex.EncodeToString(expected[:]) {
		return "", errChanged
	}
	return head + text, nil
}
