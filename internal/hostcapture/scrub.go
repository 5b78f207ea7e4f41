package hostcapture

import (
	"bytes"
	"fmt"
	"regexp"
)

// scrubber takes out of texts what tells one machine from another, the same
// thing always by the same stand-in.
type scrubber struct {
	known map[string]string
}

func newScrubber() *scrubber { return &scrubber{known: map[string]string{}} }

var (
	uuidForm = regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`)
	macForm  = regexp.MustCompile(`\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b`)
	// An interface on USB is named by its address.
	enxForm  = regexp.MustCompile(`\benx[0-9a-f]{12}\b`)
	userForm = regexp.MustCompile(`://[^/\s@]+@`) // of an URL, with a password
	ipForm   = regexp.MustCompile(`\b(?:\d{1,3}\.){3}\d{1,3}\b`)
	// What names something secret is followed by it: one word behind "=", else
	// the rest of the line.
	secretWord = regexp.MustCompile(`(?i)\b((?:(?:passw|passphrase|secret|token|serial_?n)\w*|pass|pwd|psk)=)\S+`)
	secretLine = regexp.MustCompile(`(?i)\b((?:passw|passphrase|secret|token|serial_?n)\w*[: \t]).*`)
	mailForm   = regexp.MustCompile(`[\w.+-]+@[\w-]+\.[\w.-]+`)
)

func (s *scrubber) text(data []byte) []byte {
	if bytes.IndexByte(data, 0) >= 0 {
		return data
	}
	data = userForm.ReplaceAll(data, []byte("://removed@"))
	data = s.names(data)
	data = s.replace(uuidForm, data, func(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) })
	data = s.replace(macForm, data, func(n int) string { return fmt.Sprintf("00:00:5e:00:53:%02x", n%256) })
	data = s.replace(ipForm, data, func(n int) string { return fmt.Sprintf("192.0.2.%d", n%256) })
	data = s.replace(mailForm, data, func(n int) string { return fmt.Sprintf("person%d@example.org", n) })
	data = secretWord.ReplaceAll(data, []byte("$1removed"))
	return secretLine.ReplaceAll(data, []byte("$1removed"))
}

// name is the name of a file or where a link leads.
func (s *scrubber) name(name string) string { return string(s.names([]byte(name))) }

func (s *scrubber) names(data []byte) []byte {
	return s.replace(enxForm, data, func(n int) string { return fmt.Sprintf("enx00005e0053%02x", n%256) })
}

func (s *scrubber) replace(form *regexp.Regexp, data []byte, standIn func(n int) string) []byte {
	return form.ReplaceAllFunc(data, func(found []byte) []byte {
		if s.known[string(found)] == "" {
			s.known[string(found)] = standIn(len(s.known) + 1)
		}
		return []byte(s.known[string(found)])
	})
}
