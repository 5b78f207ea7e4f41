// Package driver knows NVIDIA's drivers: which architecture a GPU has, which branches and
// kernel modules work with it, and which packages each guest release has for them. It is
// pure: the engine validates documents with it, and gpuworker-guest installs with it.
package driver

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

// Order says which driver a guest must have.
type Order struct {
	Strategy Strategy `json:"strategy"`
	Branch   string   `json:"branch,omitempty"`  // "580"
	Version  string   `json:"version,omitempty"` // exact, "580.95.05"; "" for any of the branch
	Open     bool     `json:"open,omitempty"`    // the open kernel modules
	Toolkit  bool     `json:"toolkit,omitempty"` // install the container toolkit
	// Repository is the package repository; "" for those that the guest has.
	Repository string `json:"repository,omitempty"`
	// NoNVLink sets NVreg_NvLinkDisable=1: for a single card of an SXM board.
	NoNVLink bool `json:"noNVLink,omitempty"`
}
