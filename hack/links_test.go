package hack

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// linkRule says which packages are never linked into a program or library, not even
// indirectly.
type linkRule struct {
	of  string // a package of ours, below the module
	why string
	// never are packages, each with all below it.
	never []string
	// except are exceptions: packages that are allowed.
	except []string
}

// Clients of clusters are large, and each brings a network stack.
var clusterClients = []string{"k8s.io/client-go", "k8s.io/kubectl", "github.com/vmware/govmomi"}

var linkRules = []linkRule{
	{
		of: "cmd/gpuworker-host", why: "it runs as root on a hypervisor, so it has no network code and stays small enough to review",
		never:  append([]string{"net", "crypto/tls", "golang.org/x/net", "github.com/spf13/cobra"}, clusterClients...),
		except: []string{"net/netip", "net/url"}, // values
	},
	{
		of: "cmd/gpuworker-guest", why: "it runs as root in each guest and is copied there, so it has no network code and stays small: package managers of the guest download what it needs",
		never:  append([]string{"net", "crypto/tls", "golang.org/x/net", "github.com/spf13/cobra", "k8s.io/api", "k8s.io/apimachinery", module + "/api", module + "/pve", module + "/internal/engine"}, clusterClients...),
		except: []string{"net/netip", "net/url"}, // values
	},
	{of: "pve", why: "it is a library for other projects: a client of Proxmox VE must not bring clients of other systems", never: clusterClients},
}

// refuses reports whether a package must not be linked.
func (r linkRule) refuses(name string) bool {
	under := func(parent string) bool { return name == parent || strings.HasPrefix(name, parent+"/") }
	return slices.ContainsFunc(r.never, under) && !slices.Contains(r.except, name)
}

// TestNoProgramLinksWhatItMustNotHave uses go list, which also follows packages of other
// modules.
func TestNoProgramLinksWhatItMustNotHave(t *testing.T) {
	for _, rule := range linkRules {
		t.Run(rule.of, func(t *testing.T) {
			linked := linkedInto(t, rule.of)
			t.Logf("%s has %d packages", rule.of, len(linked))
			for _, name := range linked {
				if rule.refuses(name) {
					t.Errorf("%s is linked into %s: %s", name, rule.of, rule.why)
				}
			}
		})
	}
}

// linkedInto lists the packages of a program or library, itself included.
func linkedInto(t *testing.T, of string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../"+of).Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v", of, err)
	}
	linked := strings.Fields(string(out))
	if !slices.Contains(linked, module+"/"+of) {
		t.Fatalf("go list -deps does not list %s itself: %q", of, linked)
	}
	return linked
}

// The rules find forbidden packages in a program that has them.
func TestTheLinkRulesRefuse(t *testing.T) {
	linked := linkedInto(t, "cmd/gpuworker")
	for _, small := range linkRules[:2] { // the programs of host and guest
		for _, name := range []string{"net", "net/http", "crypto/tls", "github.com/spf13/cobra"} {
			if !slices.Contains(linked, name) || !small.refuses(name) {
				t.Errorf("gpuworker has %s: %v; %s may have it: %v", name, slices.Contains(linked, name), small.of, !small.refuses(name))
			}
		}
	}
	for _, rule := range linkRules {
		for _, name := range []string{"k8s.io/client-go/rest", "k8s.io/kubectl/pkg/drain", "github.com/vmware/govmomi"} {
			if !rule.refuses(name) {
				t.Errorf("%s may have %s", rule.of, name)
			}
		}
		for _, name := range []string{"net/url", "k8s.io/client-gopher", "fmt", module + "/internal/term"} {
			if rule.refuses(name) {
				t.Errorf("%s may not have %s", rule.of, name)
			}
		}
	}
}
