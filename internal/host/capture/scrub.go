package capture

import (
	"bytes"
	"fmt"
	"regexp"
)

// scrubber takes out of texts what tells one machine from another, the same
// thing always by the same stand-in.
type scrubber struct {
	known map[string]string
	stand map[string]bool // the stand-ins
}

func newScrubber() *scrubber { return &scrubber{known: map[string]string{}, stand: map[string]bool{}} }

var (
	uuidForm = regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`)
	macForm  = regexp.MustCompile(`\b(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}\b`)
	// Numbers with colons of which there are too many for a PCI address or a time:
	// IPv6, and hardware addresses that are longer or glued to something.
	ip6Form = regexp.MustCompile(`[0-9a-fA-F.]*(?::[0-9a-fA-F.]*){2,}`)
	// An interface on USB, or a wireless one, is named by its address.
	enxForm = regexp.MustCompile(`\b(?:enx|wlx|wwx)[0-9a-f]{12}\b`)
	// machine-id(5), which begins the names of the boot loader's entries.
	machineForm = regexp.MustCompile(`\b[0-9a-f]{32}\b`)
	diskForm    = regexp.MustCompile(`/dev/(?:disk|mapper)/[^\s,;"']+`)
	userForm    = regexp.MustCompile(`://[^/\s@]+@`) // of an URL, with a password
	ipForm      = regexp.MustCompile(`\b(?:\d{1,3}\.){3}\d{1,3}\b`)
	// What names something secret is followed by it: one word behind "=", else
	// the rest of the line.
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

// name is the name of a file or where a link leads.
func (s *scrubber) name(name string) string { return string(s.names([]byte(name))) }

func (s *scrubber) names(data []byte) []byte {
	data = s.replace(machineForm, data, func(n int) string { return fmt.Sprintf("%032x", n) })
	return s.replace(enxForm, data, func(n int) string { return fmt.Sprintf("enx00005e0053%02x", n%256) })
}

func (s *scrubber) replace(form *regexp.Regexp, data []byte, standIn func(n int) string) []byte {
	return form.ReplaceAllFunc(data, func(found []byte) []byte { return s.standIn(found, standIn) })
}

// standIn is what stands for a text. A stand-in stands for itself: a capture that
// is captured again stays what it is.
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
