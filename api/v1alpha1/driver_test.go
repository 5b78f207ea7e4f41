package v1alpha1_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/pci"
)

func loadPool(t *testing.T, spec string) (*v1alpha1.WorkerPool, document.Problems) {
	t.Helper()
	d, warnings, err := document.Load(lab(t), document.File{Name: "a.yaml", Data: []byte(poolText("gpu", spec))})
	if err != nil {
		t.Fatal(err)
	}
	return &d.WorkerPools[0], warnings
}

func TestWhichDriverAWorkerMustHave(t *testing.T) {
	t4, v100, h200 := pci.MustID("10de:1eb8"), pci.MustID("10de:1db4"), pci.MustID("10de:2335")
	const byPlace = "  gpus: [{card: \"pve1/0000:03:00.0\"}]\n"
	ubuntu := `
  gpus: [{card: "pve1/0000:03:00.0"}]
  driver: {strategy: Packages`
	for _, test := range []struct {
		name, spec, os string
		gpu            pci.ID
		want           driver.Order
	}{
		{"without a driver", byPlace, "", t4, driver.Order{Strategy: driver.None}},
		{"None", byPlace + "  driver: {strategy: None}\n", "", t4, driver.Order{Strategy: driver.None}},
		{"the defaults of a T4", ubuntu + "}\n", "ubuntu-24.04", t4, driver.Order{Strategy: driver.Packages, Branch: "580", Open: true}},
		{"the defaults of a V100", ubuntu + "}\n", "ubuntu-24.04", v100, driver.Order{Strategy: driver.Packages, Branch: "580"}},
		{"the defaults of an H200", ubuntu + "}\n", "ubuntu-24.04", h200, driver.Order{Strategy: driver.Packages, Branch: "580", Open: true, NoNVLink: true}},
		{"with NVLink", ubuntu + ", disableNVLink: false}\n", "ubuntu-24.04", h200, driver.Order{Strategy: driver.Packages, Branch: "580", Open: true}},
		{"without NVLink", ubuntu + ", disableNVLink: true}\n", "ubuntu-24.04", t4, driver.Order{Strategy: driver.Packages, Branch: "580", Open: true, NoNVLink: true}},
		{"a version has its branch", byPlace + "  driver: {strategy: Preinstalled, version: 595.71.05, modules: Proprietary}\n", "", t4, driver.Order{Strategy: driver.Preinstalled, Branch: "595", Version: "595.71.05"}},
		{
			"a mirror of Ubuntu", ubuntu + ", containerToolkit: true, repository: {url: \"https://m/ubuntu\"}}\n", "ubuntu-22.04", t4,
			driver.Order{Strategy: driver.Packages, Branch: "580", Open: true, Toolkit: true, Repository: "https://m/ubuntu jammy,jammy-updates main restricted multiverse"},
		},
		{
			"a repository without suites", ubuntu + ", repository: {url: \"https://m/deb\", suites: [/]}}\n", "ubuntu-22.04", t4,
			driver.Order{Strategy: driver.Packages, Branch: "580", Open: true, Repository: "https://m/deb /"},
		},
		{
			"another mirror", ubuntu + ", repository: {url: \"https://m/ubuntu\", suites: [a, b], components: [c]}}\n", "ubuntu-22.04", t4,
			driver.Order{Strategy: driver.Packages, Branch: "580", Open: true, Repository: "https://m/ubuntu a,b c"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec := test.spec
			if test.os != "" {
				spec = "  template: {name: t, os: " + test.os + "}\n" + spec
			}
			pool, _ := loadSpec(t, spec)
			if diff := cmp.Diff(test.want, pool.DriverOrder(test.gpu)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// loadSpec is loadPool for a spec with or without its own template.
func loadSpec(t *testing.T, spec string) (*v1alpha1.WorkerPool, document.Problems) {
	t.Helper()
	const header = "apiVersion: gpuworker.io/v1alpha1\nkind: WorkerPool\nmetadata: {name: gpu}\nspec:\n  hypervisor: lab\n  kubeCluster: rke2\n"
	if spec[:11] != "  template:" {
		return loadPool(t, spec)
	}
	d, warnings, err := document.Load(lab(t), document.File{Name: "a.yaml", Data: []byte(header + spec)})
	if err != nil {
		t.Fatal(err)
	}
	return &d.WorkerPools[0], warnings
}

// Values that the documents repeat from the driver table are the same there.
func TestTheDocumentsKnowTheGuestsAndModulesOfTheDriverTable(t *testing.T) {
	var systems []driver.OS
	for _, s := range []v1alpha1.GuestOS{
		v1alpha1.Ubuntu2204, v1alpha1.Ubuntu2404, v1alpha1.Ubuntu2604, v1alpha1.Debian12, v1alpha1.Debian13, v1alpha1.RHEL9, v1alpha1.Rocky9, v1alpha1.AlmaLinux9,
	} {
		systems = append(systems, driver.OS(s))
	}
	if !slices.Equal(systems, driver.Systems) {
		t.Errorf("documents have %v, the table has %v", systems, driver.Systems)
	}
}

// An empty pool may keep its driver: its last card was taken out, and another comes.
func TestAnEmptyPoolKeepsItsDriver(t *testing.T) {
	if _, warnings := loadPool(t, "  driver: {strategy: Preinstalled, branch: \"580\"}\n"); len(warnings) != 1 {
		t.Errorf("want only the warning that it is empty, got %v", warnings)
	}
}
