package diags

import (
	"regexp"
	"strings"

	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/spec"
)

var (
	ofProvider = regexp.MustCompile(`\bspec\.proxmox\.(?:tls\.)?(vmids|resourcePool|isoStorage|attach|fingerprint|insecure|caFile)\b(?: of the Hypervisor)?`)
	ofResource = regexp.MustCompile(`\bspec\.([a-zA-Z]+(?:\.[a-zA-Z]+)*)`)
)

// words writes a text of the engine in the words of Terraform: attributes for the fields
// of documents, and commands with the file that they need.
func words(text string) string {
	text = strings.ReplaceAll(text, "gpuworker apply --allow-restart", "set allow_restart = true")
	text = strings.ReplaceAll(text, "--guest-dir DIR", "guest_dir of the provider")
	text = strings.ReplaceAll(text, "--guest-dir ", "guest_dir of the provider = ")
	text = ofProvider.ReplaceAllStringFunc(text, func(match string) string {
		return spec.Snake(ofProvider.FindStringSubmatch(match)[1]) + " of the provider"
	})
	text = ofResource.ReplaceAllStringFunc(text, func(match string) string {
		return spec.Path(strings.TrimPrefix(match, "spec.")).String()
	})
	return shell.WithFiles(text, " -f FILE")
}
