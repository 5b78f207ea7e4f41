package mapping_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

const (
	address = "gpuworker_pci_mapping.t4"
	mapping = `
resource "gpuworker_pci_mapping" "t4" {
  card = "pve1/0000:03:00.0"
}
`
	worker = `
resource "gpuworker_vm" "gpu" {
  name     = "gpu-1"
  gpu      = { card = gpuworker_pci_mapping.t4.card }
  template = { name = "ubuntu-22.04" }
}
`
	entry = "node=pve1,path=0000:03:00.0,id=10de:1eb8,subsystem-id=10de:12a2,iommugroup=14"
)

// names are the mappings of the cluster.
func names(t *testing.T, l *testlab.Lab) map[string]string {
	t.Helper()
	all, err := l.Root().Mappings(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, one := range all {
		found[one.ID] = one.Map[0]
	}
	return found
}

// makeStale changes the mapping so that it differs from the hardware.
func makeStale(l *testlab.Lab) func() {
	return func() {
		now, err := l.Root().Mapping(context.Background(), "gpu-pve1-0000-03-00")
		l.Must(err)
		l.Must(l.Root().UpdateMapping(context.Background(), pve.MappingUpdate{
			ID: now.ID, Digest: now.Digest, Map: []string{strings.Replace(entry, "iommugroup=14", "iommugroup=99", 1)},
		}))
	}
}

var isStale = resource.TestCheckResourceAttr(address, "stale", `iommugroup is "99", the hardware says "14"`)

func TestAMappingIsMadeCorrectedImportedAndRemoved(t *testing.T) {
	l := testlab.New(t)
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: []resource.TestStep{
		{Config: mapping, ConfigPlanChecks: does(plancheck.ResourceActionCreate), Check: resource.ComposeAggregateTestCheckFunc(
			resource.TestCheckResourceAttr(address, "id", "gpu-pve1-0000-03-00"), resource.TestCheckResourceAttr(address, "entry", entry),
		)},
		{ResourceName: address, ImportState: true, ImportStateId: "pve1/0000:03:00.0", ImportStateVerify: true},
		{PreConfig: makeStale(l), RefreshState: true, ExpectNonEmptyPlan: true, Check: isStale},
		{Config: mapping, ConfigPlanChecks: does(plancheck.ResourceActionUpdate), Check: resource.TestCheckResourceAttr(address, "entry", entry)},
	}})
	if _, there := names(t, l)["gpu-pve1-0000-03-00"]; there {
		t.Error("the mapping still exists")
	}
}

// TestAMappingOutlivesItsWorkers: a claim uses it, and it is not removed while a worker
// has it.
func TestAMappingOutlivesItsWorkers(t *testing.T) {
	l := testlab.New(t)
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: []resource.TestStep{
		{Config: mapping + worker, ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}},
		{
			Config: `removed {
  from = gpuworker_vm.gpu
  lifecycle {
    destroy = false
  }
}`,
			ExpectError: testlab.Text("The mapping was not removed", `pve1, card 0000:03:00.0: remove the mapping: worker gpu-1 has claimed the card with it
			→ delete the worker first`),
		},
		testlab.Forget(address),
	}})
	if names(t, l)["gpu-pve1-0000-03-00"] != entry {
		t.Errorf("the mappings are %v", names(t, l))
	}
}

func TestACardThatIsNoneIsRefused(t *testing.T) {
	l := testlab.New(t)
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: []resource.TestStep{
		{Config: of("0000:03:00.0"), ExpectError: regexp.MustCompile(`(?s)Error: The configuration is not valid.*gpuworker gpus -f FILE lists the cards`)},
	}})
}

// TestAnotherSpellingOfTheCardIsNoOtherCard: the mapping is not replaced, which a worker
// that has claimed the card would not allow.
func TestAnotherSpellingOfTheCardIsNoOtherCard(t *testing.T) {
	l := testlab.New(t)
	spelled := strings.Replace(mapping, "pve1/0000:03:00.0", "pve1/03:00", 1)
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: []resource.TestStep{
		{Config: mapping + worker},
		{
			Config: spelled + worker,
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate)}, PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
			Check: resource.TestCheckResourceAttr(address, "id", "gpu-pve1-0000-03-00"),
		},
		testlab.Forget(address, "gpuworker_vm.gpu"),
	}})
	if names(t, l)["gpu-pve1-0000-03-00"] != entry {
		t.Errorf("the mappings are %v", names(t, l))
	}
}
