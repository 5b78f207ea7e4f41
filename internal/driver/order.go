// Package driver knows NVIDIA's drivers: which architecture a GPU has, which branches and
// kernel modules work with it, and which packages each guest release has for them. It is
// pure: the engine validates documents with it, and gpuworker-guest installs with it.
package driver

import (
	"cmp"
	"strings"
)

// Strategy is how a worker gets its driver.
type Strategy string

// The strategies.
const (
	Preinstalled Strategy = "Preinstalled" // it is in the template, and verified
	Packages     Strategy = "Packages"     // gpuworker-guest installs pre-built modules
	Operator     Strategy = "Operator"     // the NVIDIA GPU Operator installs it after the join
	Ansible      Strategy = "Ansible"      // somebody else's playbook installs it, and it is verified
	None         Strategy = "None"         // there is no driver
)

// Modules are the kind of NVIDIA's kernel modules.
type Modules string

// The kinds of kernel modules.
const (
	Open        Modules = "Open"        // need the GPU's GSP: Turing and newer
	Proprietary Modules = "Proprietary" // up to Hopper
)

// Order says which driver a guest must have.
type Order struct {
	Strategy Strategy `json:"strategy"`
	Branch   string   `json:"branch,omitempty"`  // "580"; "" for any
	Version  string   `json:"version,omitempty"` // exact, "580.95.05"; "" for any of the branch
	Open     bool     `json:"open,omitempty"`    // the open kernel modules
	// AnyModules: either kind of kernel modules is right, because the card works with both
	// and the document names none. Then Open says which kind would be installed.
	AnyModules bool `json:"anyModules,omitempty"`
	Toolkit    bool `json:"toolkit,omitempty"` // install the container toolkit
	// Repository is the package repository; "" for those that the guest has. For apt it is
	// "URL SUITE,SUITE COMPONENT COMPONENT", for dnf the base URL. RepositoryFiles makes the
	// files for the guest of it.
	Repository string `json:"repository,omitempty"`
	// RepositoryKey is the public key of the repository, ASCII-armoured; "" when the guest
	// trusts it already. It is no secret.
	RepositoryKey string `json:"repositoryKey,omitempty"`
	// NoNVLink sets NVreg_NvLinkDisable=1: for a single card of an SXM board.
	NoNVLink bool `json:"noNVLink,omitempty"`
}

// Modules is the kind of kernel modules that the order names or would install.
func (o Order) Modules() Modules {
	if o.Open {
		return Open
	}
	return Proprietary
}

// Words are an order in a few words, as Order.Words writes it.
type Words string

// Strategy is the strategy of the order.
func (w Words) Strategy() Strategy {
	strategy, _, _ := strings.Cut(string(w), ",")
	return Strategy(strategy)
}

// Loaded reports whether the guest must have a loaded driver before its join.
func (w Words) Loaded() bool {
	s := w.Strategy()
	return s == Preinstalled || s == Packages || s == Ansible
}

// Words is the order in a few words, for records and for comparing: "Packages,580,Open".
// Repositories are left out: another mirror is no other driver.
func (o Order) Words() string {
	words := []string{string(cmp.Or(o.Strategy, None))}
	if version := cmp.Or(o.Version, o.Branch); version != "" {
		words = append(words, version)
	}
	if o.Strategy != None && o.Strategy != "" && o.Strategy != Operator && !o.AnyModules {
		words = append(words, string(o.Modules()))
	}
	if o.Toolkit {
		words = append(words, "Toolkit")
	}
	if o.NoNVLink {
		words = append(words, "NoNVLink")
	}
	return strings.Join(words, ",")
}
