package v1alpha1

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// driver checks the field driver of a pool: first its form, then whether it can work with
// the guest's release and the requested cards.
func (o *object) driver(path string, p *WorkerPool) {
	d := p.Spec.Driver
	oneOf(o, "spec.template.os", p.Spec.Template.OS, guestSystems()...)
	if d == nil {
		return
	}
	before := len(o.problems)
	if d.Strategy == "" {
		o.errorf(fieldpath.Under(path, "strategy"), "is missing; write Preinstalled, Packages, Operator, Ansible or None")
	}
	oneOf(o, fieldpath.Under(path, "strategy"), d.Strategy, DriverPreinstalled, DriverPackages, DriverOperator, DriverAnsible, DriverNone)
	oneOf(o, fieldpath.Under(path, "modules"), d.Modules, ModulesOpen, ModulesProprietary)
	o.driverVersion(path, d)
	o.driverRepository(fieldpath.Under(path, "repository"), d.Repository)
	o.driverFields(path, p)
	if len(o.problems) == before {
		o.driverWorks(p)
	}
}

func guestSystems() []GuestOS {
	var systems []GuestOS
	for _, s := range driver.Systems {
		systems = append(systems, GuestOS(s))
	}
	return systems
}

// flavourForm is a driver as Ubuntu's package names write it: "580-server-open".
var flavourForm = regexp.MustCompile(`^(?:nvidia-)?(?:driver-)?([1-9][0-9]{2})(-server)?(-open)?$`)

func (o *object) driverVersion(path string, d *Driver) {
	branch, version := fieldpath.Under(path, "branch"), fieldpath.Under(path, "version")
	flavour := flavourForm.FindStringSubmatch(d.Branch)
	switch {
	case d.Version != "" && !driver.IsVersion(d.Version):
		o.errorf(version, "%s is not the version of a driver; write for example \"580.95.05\"", phrase.Quote(d.Version))
	case d.Branch == "" || driver.IsBranch(d.Branch) && (d.Version == "" || d.Branch == driver.BranchOf(d.Version)):
	case driver.IsBranch(d.Branch):
		o.errorf(version, "%s is not of branch %s; correct one of them, or leave branch out", d.Version, d.Branch)
	case flavour != nil:
		modules := driver.Proprietary
		if flavour[3] != "" {
			modules = driver.Open
		}
		o.errorf(branch, "%s is not a branch; write branch: %q and modules: %s", phrase.Quote(d.Branch), flavour[1], modules)
	case driver.IsVersion(d.Branch):
		o.errorf(branch, "%s is a version; write branch: %q, and version: %q for exactly this one", phrase.Quote(d.Branch), driver.BranchOf(d.Branch), d.Branch)
	default:
		o.errorf(branch, "%s is not a branch of the driver; write three digits, for example %q", phrase.Quote(d.Branch), driver.DefaultBranch)
	}
}

// wordForm is a suite or a component of an apt repository.
var wordForm = regexp.MustCompile(`^[A-Za-z0-9./][A-Za-z0-9._+/-]{0,99}$`)

func wordProblem(word string) string {
	if wordForm.MatchString(word) {
		return ""
	}
	return phrase.Quote(word) + " is not the name of a suite or component; it has letters, digits and - . _ + /"
}

func (o *object) driverRepository(path string, r *DriverRepository) {
	if r == nil {
		return
	}
	o.repositoryURL(fieldpath.Under(path, "url"), r.URL)
	o.distinct(fieldpath.Under(path, "suites"), r.Suites, wordProblem)
	o.distinct(fieldpath.Under(path, "components"), r.Components, wordProblem)
	key := strings.TrimSpace(r.Key)
	switch {
	case key == "":
	case strings.Contains(key, "PRIVATE KEY"):
		o.errorf(fieldpath.Under(path, "key"), "is a private key, which does not belong into a document; write the public key")
	case !strings.HasPrefix(key, "-----BEGIN PGP PUBLIC KEY BLOCK-----") || !strings.HasSuffix(key, "-----END PGP PUBLIC KEY BLOCK-----"):
		o.errorf(fieldpath.Under(path, "key"), "is not an ASCII-armoured public key; gpg --armor --export writes one, from -----BEGIN PGP PUBLIC KEY BLOCK----- to -----END PGP PUBLIC KEY BLOCK-----")
	case len(key) > mostKey:
		o.errorf(fieldpath.Under(path, "key"), "has %d bytes, but the limit is %d; export only the key that signs the repository", len(key), mostKey)
	}
}

// mostKey is in bytes: the document goes into the seed data of each guest.
const mostKey = 16 << 10

func (o *object) repositoryURL(path, text string) {
	u, err := url.Parse(text)
	switch {
	case text == "":
		o.errorf(path, "is missing; write the base address of the repository")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(text, " \t\n"):
		o.errorf(path, "is not the address of a repository; write for example https://mirror.example.org/ubuntu")
	case u.User != nil:
		o.errorf(path, "has a user name or password, which would be readable in each guest and in the VM's cloud-init data; use a repository without a login")
	}
}

// driverFields checks which fields go together with the strategy.
func (o *object) driverFields(path string, p *WorkerPool) {
	d := p.Spec.Driver
	switch {
	case d.Strategy == DriverNone:
		if set := d.set(); len(set) > 0 {
			o.errorf(path, "strategy None installs and checks no driver; remove %s, or write another strategy", phrase.And(set))
		}
		return
	case !p.IsGPU() && (p.Spec.Replicas != nil || len(p.Spec.Names) > 0):
		o.errorf(path, "the workers of the pool have no GPU, so they need no driver; remove it")
	case d.Strategy == DriverPreinstalled && d.Branch == "" && d.Version == "":
		o.errorf(fieldpath.Under(path, "branch"), "is missing: the driver in the template is compared with it; write branch or version")
	}
	if d.Strategy == "" {
		return
	}
	if d.Strategy != DriverPackages {
		const only = "is for strategy Packages: with %s gpuworker installs no packages; remove it"
		if d.Repository != nil {
			o.errorf(fieldpath.Under(path, "repository"), only, d.Strategy)
		}
		if d.ContainerToolkit {
			o.errorf(fieldpath.Under(path, "containerToolkit"), only, d.Strategy)
		}
	}
	if d.DisableNVLink != nil && (d.Strategy == DriverOperator || d.Strategy == DriverAnsible) {
		o.errorf(fieldpath.Under(path, "disableNVLink"), "is for strategies Packages and Preinstalled: with %s gpuworker sets no module options; remove it", d.Strategy)
	}
}

// set returns the fields that are set, besides the strategy.
func (d *Driver) set() []string {
	var set []string
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"branch", d.Branch != "" && d.Branch != driver.BranchOf(d.Version)}, {"version", d.Version != ""}, {"modules", d.Modules != ""},
		{"repository", d.Repository != nil}, {"containerToolkit", d.ContainerToolkit}, {"disableNVLink", d.DisableNVLink != nil},
	} {
		if f.set {
			set = append(set, f.name)
		}
	}
	return set
}

// driverWorks checks the driver against the guest's release and each requested model. A
// card that is named by its place is checked by the plan, which knows its model.
func (o *object) driverWorks(p *WorkerPool) {
	request := p.DriverRequest()
	if request.IsNone() {
		return
	}
	reported := map[string]bool{}
	report := func(problem driver.Problem, see *Field) {
		text := problem.String()
		if reported[text] {
			return
		}
		reported[text] = true
		if path := "spec." + problem.Field; problem.Kind == driver.Impossible {
			o.conflict(path, see, "%s", text)
		} else {
			o.warnf(path, "%s", text)
		}
	}
	for _, problem := range request.Check(pci.ID{}) {
		report(problem, nil)
	}
	for i, g := range p.Spec.GPUs {
		path := fieldpath.Item("spec.gpus", i)
		problems, known := requestProblems(request, g)
		if !known {
			o.warnf(fieldpath.Under(path, "model"), "%s is not in gpuworker's table, so it is not known which branches and kernel modules work with it; the plan checks the card by its ID", phrase.Quote(g.Model))
		}
		for _, problem := range problems {
			report(problem, o.field(path))
		}
	}
	o.driverGuest(p, request)
}

// requestProblems are the problems of a request for cards by model or ID. When a model
// stands for several GPUs of which one works, there is none: the plan chooses a card that
// works. known is false for a model that is not in the table.
func requestProblems(request driver.Request, g GPURequest) (problems []driver.Problem, known bool) {
	if g.ByPlace() || g.Model == "" && g.ID == "" {
		return nil, true
	}
	if g.ID != "" {
		id, err := pci.ParseID(g.ID)
		if err != nil || id.Vendor != pci.VendorNVIDIA {
			return nil, true // reported by gpus
		}
		return request.Check(id), true
	}
	models := driver.ByModel(g.Model)
	for _, gpu := range models {
		found := request.Check(gpu.ID)
		if !slices.ContainsFunc(found, func(p driver.Problem) bool { return p.Kind == driver.Impossible }) {
			return found, true
		}
		if problems == nil {
			problems = found
		}
	}
	return problems, len(models) > 0
}

// driverGuest warns about what only the guest can show.
func (o *object) driverGuest(p *WorkerPool, request driver.Request) {
	if request.Strategy != driver.Packages {
		return
	}
	d := p.Spec.Driver
	if d.ContainerToolkit && d.Repository == nil {
		o.warnf("spec.driver.containerToolkit", "nvidia-container-toolkit comes from a repository of NVIDIA, so the template must have one that offers it; or write one in spec.driver.repository")
	}
	if request.OS.IsRHEL() && p.Spec.Machine.Firmware == FirmwareTemplate {
		o.warnf("spec.machine.firmware", "if Secure Boot is on in the template, its firmware must know NVIDIA's signing key (mokutil --import before the template is made): NVIDIA's pre-built modules for %s are not signed by the distribution", request.OS)
	}
	if d.Repository != nil && request.OS.IsRHEL() && d.Repository.Key == "" {
		o.errorf("spec.driver.repository.key", "is missing: %s does not have the key of NVIDIA's packages, and would refuse them", request.OS)
	}
	if d.Repository != nil && strings.HasPrefix(d.Repository.URL, "http:") && d.Repository.Key == "" {
		o.warnf("spec.driver.repository.url", "is not encrypted and names no key; the packages are protected only by a key that the guest has already")
	}
}
