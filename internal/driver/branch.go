package driver

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// DefaultBranch is the branch of a driver that gpuworker installs, when the document names
// none: the one with long support that still has all GPUs from Maxwell on.
const DefaultBranch = "580"

// TableDate is the month in which the branches were looked up. Ended is as of then.
const TableDate = "November 2026"

// Branch is a branch of NVIDIA's driver.
type Branch struct {
	Number int
	Kind   string // NVIDIA's designation
	// EndOfLife is the month in which NVIDIA stops to support it, "June 2028"; "" when
	// NVIDIA names none.
	EndOfLife string
	Ended     bool
	ubuntu    ubuntuState
	// ubuntuNext is the branch that the transitional packages of Ubuntu install; 0 when it
	// was not looked up.
	ubuntuNext int
}

// ubuntuState is what Ubuntu has of a branch, in the packages with -server.
type ubuntuState int

const (
	ubuntuUnknown ubuntuState = iota
	ubuntuHas
	ubuntuDummy    // empty packages that install another branch
	ubuntuOpenOnly // the packages of the proprietary modules are dummies of the open ones
)

// Kinds of branches.
const (
	longTerm   = "long-term support branch"
	production = "production branch"
	newFeature = "new feature branch"
)

// branches, in the order of their numbers.
//
// Sources: NVIDIA, "Supported Drivers and CUDA Toolkit Versions", pages of R615 (September
// 2026) and R620: kinds and ends of life. packages.ubuntu.com, jammy, noble and resolute,
// 2026-11: linux-modules-nvidia-{535,550,570,590}-server* and nvidia-headless-565-server
// are transitional packages; of 615-server, those of the proprietary modules are.
var branches = []Branch{
	{Number: 535, Kind: longTerm, EndOfLife: "June 2026", Ended: true, ubuntu: ubuntuDummy, ubuntuNext: 580},
	{Number: 550, Kind: production, Ended: true, ubuntu: ubuntuDummy, ubuntuNext: 580},
	{Number: 565, Kind: newFeature, Ended: true, ubuntu: ubuntuDummy, ubuntuNext: 580},
	{Number: 570, Kind: production, Ended: true, ubuntu: ubuntuDummy, ubuntuNext: 580},
	{Number: 580, Kind: longTerm, EndOfLife: "June 2028", ubuntu: ubuntuHas},
	{Number: 590, Kind: newFeature, Ended: true, ubuntu: ubuntuDummy},
	{Number: 595, Kind: production, EndOfLife: "March 2027", ubuntu: ubuntuHas},
	{Number: 610, Kind: newFeature, EndOfLife: "August 2026", Ended: true, ubuntu: ubuntuHas},
	{Number: 615, Kind: newFeature, ubuntu: ubuntuOpenOnly},
	{Number: 620, Kind: longTerm, EndOfLife: "September 2029"},
}

// Branches are the known branches, in the order of their numbers.
func Branches() []Branch { return slices.Clone(branches) }

// LookupBranch finds a branch by its number as text, "580".
func LookupBranch(number string) (branch Branch, ok bool) {
	n := branchNumber(number)
	i := slices.IndexFunc(branches, func(b Branch) bool { return b.Number == n })
	if i < 0 {
		return Branch{}, false
	}
	return branches[i], true
}

// String is the name of the branch as NVIDIA writes it: "R580".
func (b Branch) String() string { return "R" + strconv.Itoa(b.Number) }

// supported lists the branches that NVIDIA supports, for advice: "580 (until June 2028)".
func supported() []string {
	var names []string
	for _, b := range branches {
		if !b.Ended && b.EndOfLife != "" {
			names = append(names, strconv.Itoa(b.Number)+" (until "+b.EndOfLife+")")
		}
	}
	return names
}

// branchNumber is 0 for a text that is no number.
func branchNumber(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

var (
	branchForm  = regexp.MustCompile(`^[1-9][0-9]{2}$`)
	versionForm = regexp.MustCompile(`^[1-9][0-9]{2}(\.[0-9]{1,3}){1,2}$`)
)

// IsBranch reports whether a text has the form of a branch: "580".
func IsBranch(text string) bool { return branchForm.MatchString(text) }

// IsVersion reports whether a text has the form of a version: "580.95.05".
func IsVersion(text string) bool { return versionForm.MatchString(text) }

// BranchOf is the branch of a version: "580" for "580.95.05".
func BranchOf(version string) string {
	branch, _, _ := strings.Cut(version, ".")
	return branch
}

// number is the branch of the order as a number; 0 when it is not known.
func (o Order) number() int { return branchNumber(cmp.Or(o.Branch, BranchOf(o.Version))) }
