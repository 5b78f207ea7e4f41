package capture

import (
	"bytes"
	"fmt"
	"regexp"
)

// scrubber replaces text that identifies a machine or a person. The same text always
// gets the same replacement.
type scrubber struct {
	known map[string]string // replacement by original
	stand map[string]bool   // all replacements
}

func newScrubber() *scrubber { return &scrubber{known: map[string]string{}, stand: map[string]bool{}} }

var (
	uuidForm = regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`)
	macForm  = regexp.MustCompile(`\b(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}\b`)
	// Hexadecimal numbers with more colons than a PCI address or a time: IPv6, and
	// long hardware addresses.
	ip6Form = regexp.MustCompile(`[0-9a-fA-F.]*(?::[0-9a-fA-F.]*){2,}`)
	// The name of a USB or wireless interface contains its MAC address.
	enxForm = regexp.MustCompile(`\b(?:enx|wlx|wwx)[0-9a-f]{12}\b`)
	// machine-id(5), which begins the names of the boot loader's entries.
	machineForm = regexp.MustCompile(`\b[0-9a-f]{32}\b`)
	diskForm    = regexp.MustCompile(`/dev/(?:disk|mapper)/[^\s,;"']+`)
	userForm    = regexp.MustCompile(`://[^/\s@]+@`) // user and password of a URL
	ipForm      = regexp.MustCompile(`\b(?:\d{1,3}\.){3}\d{1,3}\b`)
	// A secret follows its name: one word after "=", otherwise the rest of the line.
	secretWord = regexp.MustCompile(`(?i)\b((?:(?:passw|passphrase|secret|token|serial)\w*|pass|pwd|psk)=)\S+`)
	secretLine = regexp.MustCompile(`(?i)\b((?:passw|passphrase|secret|token|serial)\w*[: \t]).*`)
	mailForm   = regexp.MustCompile(`[\w.+-]+@[\w-]+\.[\w.-]+`)
)

func (s *scrubber) text(data []byte) []byte {
	data = userForm.ReplaceAll(data, []byte("://removed@"))
	data = s.names(data)
	data = s.replace(uuidForm, data, func(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) })
	data = s.replace(macForm, data, func(n int) string { return fmt.Sprintf("00:00:5e:00:53:%02x", n%256) })
	data = diskForm.ReplaceAll(data, []byte("/dev/removed"))
	data = ip6Form.ReplaceAllFunc(data, func(found []byte) []byte {
		if bytes.Count(found, []byte(":")) < 5 && !bytes.Contains(found, []byte("::")) {
			return found
		}
		return s.standIn(found, func(n int) string { return fmt.Sprintf("2001:db8::%x", n) })
	})
	data = s.replace(ipForm, data, func(n int) string { return fmt.Sprintf("192.0.2.%d", n%256) })
	data = s.replace(mailForm, data, func(n int) string { return fmt.Sprintf("person%d@example.org", n) })
	data = secretWord.ReplaceAll(data, []byte("${1}removed"))
	return secretLine.ReplaceAll(data, []byte("${1}removed"))
}

// name scrubs the name of a file or the target of a link.
func (s *scrubber) name(name string) string { return string(s.names([]byte(name))) }

func (s *scrubber) names(data []byte) []byte {
	data = s.replace(machineForm, data, func(n int) string { return fmt.Sprintf("%032x", n) })
	return s.replace(enxForm, data, func(n int) string { return fmt.Sprintf("enx00005e0053%02x", n%256) })
}

func (s *scrubber) replace(form *regexp.Regexp, data []byte, standIn func(n int) string) []byte {
	return form.ReplaceAllFunc(data, func(found []byte) []byte { return s.standIn(found, standIn) })
}

// standIn returns the replacement of a text. Replacements are not replaced again,
// so that a capture of a capture is the same.
func (s *scrubber) standIn(found []byte, make func(n int) string) []byte {
	text := string(found)
	if s.stand[text] {
		return found
	}
	if s.known[text] == "" {
		s.known[text] = make(len(s.known) + 1)
		s.stand[s.known[text]] = true
	}
	return []byte(s.known[text])
}
