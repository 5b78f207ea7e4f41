package data_test

import (
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// object are the attributes of an object.
type object = map[string]knownvalue.Check

var null = knownvalue.Null()

func str(text string) knownvalue.Check { return knownvalue.StringExact(text) }

func num(n int64) knownvalue.Check { return knownvalue.Int64Exact(n) }

func yes(value bool) knownvalue.Check { return knownvalue.Bool(value) }

func strs(texts ...string) knownvalue.Check {
	list := []knownvalue.Check{}
	for _, one := range texts {
		list = append(list, str(one))
	}
	return knownvalue.ListExact(list)
}

// of are the default attributes with some changed.
func of(defaults object, changes object) knownvalue.Check {
	all := object{}
	for _, part := range []object{defaults, changes} {
		for name, value := range part {
			all[name] = value
		}
	}
	return knownvalue.ObjectExact(all)
}

func gpu(host, bdf, model, id, state string, changes object) knownvalue.Check {
	return of(object{
		"host": str(host), "bdf": str(bdf), "card": str(host + "/" + bdf), "model": str(model), "id": str(id), "state": str(state),
		"with": strs(), "iommu_group": null, "alone": yes(true), "mates": strs(), "held_by": null, "reason": null,
	}, changes)
}

var (
	pve1T4 = gpu("pve1", "0000:03:00.0", "Tesla T4", "10de:1eb8", "ready", object{"iommu_group": num(14)})
	shared = gpu("pve1", "0000:41:00.0", "GeForce RTX 3090", "10de:2204", "blocked", object{
		"iommu_group": num(27), "alone": yes(false), "with": strs("audio"), "mates": strs("0000:42:00.0 I350 Gigabit Network Connection"),
		"reason": str("shares group 27 with 0000:42:00.0 I350 Gigabit Network Connection"),
	})
	pve2T4 = gpu("pve2", "0000:03:00.0", "Tesla T4", "10de:1eb8", "ready", object{"iommu_group": num(11)})
	taken  = gpu("pve2", "0000:81:00.0", "Tesla T4", "10de:1eb8", "taken", object{
		"iommu_group": num(31), "reason": str("not ours"),
		"held_by": knownvalue.ObjectExact(object{"name": str("vdi-7"), "vm_id": str("204"), "ours": yes(false)}),
	})
	noIOMMU = gpu("pve3", "0000:0a:00.0", "GeForce RTX 3090", "10de:2204", "no IOMMU", object{
		"alone": yes(false), "with": strs("audio"), "reason": str("HOST-IOMMU-OFF"),
	})
	hidden = knownvalue.ObjectExact(object{
		"host": str("pve3"), "bdf": null, "card": null, "model": null, "id": null, "state": str("unknown"), "with": strs(), "iommu_group": null,
		"alone": null, "mates": strs(), "held_by": null, "reason": str("the host is offline (HOST-OFFLINE)"),
	})
)

func expect(name, attribute string, list ...knownvalue.Check) statecheck.StateCheck {
	return statecheck.ExpectKnownValue("data."+name, tfjsonpath.New(attribute), knownvalue.ListExact(list))
}

// offline stops a host of the world.
func offline(name string) func(*pvesim.World) {
	return func(w *pvesim.World) {
		for i := range w.Hosts {
			w.Hosts[i].Offline = w.Hosts[i].Offline || w.Hosts[i].Name == name
		}
	}
}

func test(t *testing.T, l *testlab.Lab, steps ...resource.TestStep) {
	t.Helper()
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: steps})
}

func TestGPUsListsTheCardsThatTheFiltersSelect(t *testing.T) {
	test(t, testlab.New(t), resource.TestStep{
		Config: `
data "gpuworker_gpus" "all" {}
data "gpuworker_gpus" "host" { host = "pve2" }
data "gpuworker_gpus" "model" { model = "rtx 3090" }
data "gpuworker_gpus" "state" { state = "ready" }
data "gpuworker_gpus" "everything" {
  host  = "pve2"
  model = "Tesla T4"
  state = "taken"
}
data "gpuworker_gpus" "none" { model = "H100" }
`,
		ConfigStateChecks: []statecheck.StateCheck{
			expect("gpuworker_gpus.all", "gpus", pve1T4, shared, pve2T4, taken, noIOMMU),
			expect("gpuworker_gpus.host", "gpus", pve2T4, taken),
			expect("gpuworker_gpus.model", "gpus", shared, noIOMMU),
			expect("gpuworker_gpus.state", "gpus", pve1T4, pve2T4),
			expect("gpuworker_gpus.everything", "gpus", taken),
			expect("gpuworker_gpus.none", "gpus"),
		},
		ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
	})
}

// TestGPUsOfAnOfflineHostAreUnknown: they are not left out as if there were none.
func TestGPUsOfAnOfflineHostAreUnknown(t *testing.T) {
	test(t, testlab.New(t, offline("pve3")), resource.TestStep{
		Config: `
data "gpuworker_gpus" "all" {}
data "gpuworker_gpus" "unknown" { state = "unknown" }
data "gpuworker_gpus" "model" { model = "RTX 3090" }
`,
		ConfigStateChecks: []statecheck.StateCheck{
			expect("gpuworker_gpus.all", "gpus", pve1T4, shared, pve2T4, taken, hidden),
			expect("gpuworker_gpus.unknown", "gpus", hidden),
			expect("gpuworker_gpus.model", "gpus", shared),
		},
	})
}

// TestNamesFromOutsideCannotControlATerminal: Terraform writes them in plans and outputs.
func TestNamesFromOutsideCannotControlATerminal(t *testing.T) {
	l := testlab.New(t, func(w *pvesim.World) {
		for i, device := range w.Hosts[0].PCI {
			if device.Address == "0000:42:00.0" {
				w.Hosts[0].PCI[i].Name = "I350\x1b[2J\u202egnol"
			}
		}
	})
	test(t, l, resource.TestStep{
		Config: `data "gpuworker_gpus" "all" { model = "RTX 3090" }`,
		ConfigStateChecks: []statecheck.StateCheck{
			statecheck.ExpectKnownValue("data.gpuworker_gpus.all", tfjsonpath.New("gpus").AtSliceIndex(0).AtMapKey("mates"),
				strs(`0000:42:00.0 I350\x1b[2J\u202egnol`)),
			statecheck.ExpectKnownValue("data.gpuworker_gpus.all", tfjsonpath.New("gpus").AtSliceIndex(0).AtMapKey("reason"),
				str(`shares group 27 with 0000:42:00.0 I350\x1b[2J\u202egnol`)),
		},
	})
}

// TestGPUsAreReadAgainAfterAWorkerWasMade: the card is in use then.
func TestGPUsAreReadAgainAfterAWorkerWasMade(t *testing.T) {
	inUse := gpu("pve1", "0000:03:00.0", "Tesla T4", "10de:1eb8", "in use", object{
		"iommu_group": num(14), "held_by": knownvalue.ObjectExact(object{"name": str("gpu-1"), "vm_id": str("9100"), "ours": yes(true)}),
	})
	test(t, testlab.New(t),
		resource.TestStep{
			Config: `
resource "gpuworker_vm" "gpu" {
  name     = "gpu-1"
  gpu      = { card = "pve1/0000:03:00.0" }
  template = { name = "ubuntu-22.04" }
}
data "gpuworker_gpus" "after" {
  host       = "pve1"
  model      = "Tesla T4"
  depends_on = [gpuworker_vm.gpu]
}
`,
			ConfigStateChecks: []statecheck.StateCheck{expect("gpuworker_gpus.after", "gpus", inUse)},
		},
		testlab.Forget("gpuworker_vm.gpu"),
	)
}

// TestAHostThatCannotBeSeenIsAWarning: a filter may leave its entry out.
func TestAHostThatCannotBeSeenIsAWarning(t *testing.T) {
	l := testlab.New(t, offline("pve3"))
	server := l.Server()
	schemas, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	warnings := func(filter, value string) (texts []string) {
		set := map[string]tftypes.Value{filter: tftypes.NewValue(tftypes.String, value)}
		response, err := server.ReadDataSource(t.Context(), &tfprotov6.ReadDataSourceRequest{
			TypeName: "gpuworker_gpus", Config: l.Object(schemas.DataSourceSchemas["gpuworker_gpus"], set),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range response.Diagnostics {
			texts = append(texts, fmt.Sprintf("%s: %s: %s", d.Severity, d.Summary, d.Detail))
		}
		return texts
	}
	want := []string{"WARNING: The GPUs of host pve3 cannot be seen: the host is offline (HOST-OFFLINE)"}
	if got := warnings("model", "Tesla T4"); !slices.Equal(got, want) {
		t.Errorf("all hosts: %q, want %q", got, want)
	}
	if got := warnings("host", "pve1"); len(got) > 0 {
		t.Errorf("pve1 alone: %q", got)
	}
}

func TestHostsListsTheHosts(t *testing.T) {
	host := object{
		"online": yes(true), "cpus": num(32), "memory_total": num(128 << 30), "iommu": str("on"), "gpus": num(2), "gpus_claimed": num(0),
		"storages": strs("local", "local-lvm"), "gaps": strs(),
	}
	test(t, testlab.New(t, offline("pve3")), resource.TestStep{
		Config: `data "gpuworker_hosts" "all" {}`,
		ConfigStateChecks: []statecheck.StateCheck{expect("gpuworker_hosts.all", "hosts",
			of(host, object{"name": str("pve1"), "memory_used": num(3 << 30)}),
			of(host, object{"name": str("pve2"), "memory_used": num(34 << 30)}),
			of(host, object{
				"name": str("pve3"), "online": yes(false), "cpus": null, "memory_total": null, "memory_used": null, "iommu": str("unknown"),
				"gpus": null, "gpus_claimed": null, "storages": strs(),
			}),
		)},
	})
}

func TestCheckListsTheFindings(t *testing.T) {
	pass := func(id, layer, where, reason string) knownvalue.Check {
		return knownvalue.ObjectExact(object{"id": str(id), "verdict": str("pass"), "layer": str(layer), "where": str(where), "reason": str(reason), "fix": null})
	}
	test(t, testlab.New(t), resource.TestStep{
		Config: "data \"gpuworker_check\" \"all\" {\n  fail_on_problems = true\n}\n",
		ConfigStateChecks: []statecheck.StateCheck{
			statecheck.ExpectKnownValue("data.gpuworker_check.all", tfjsonpath.New("passed"), yes(true)),
			statecheck.ExpectKnownValue("data.gpuworker_check.all", tfjsonpath.New("failed"), num(0)),
			statecheck.ExpectKnownValue("data.gpuworker_check.all", tfjsonpath.New("unknown"), num(0)),
			expect("gpuworker_check.all", "findings",
				pass("API-VERSION", "api", "hypervisor proxmox", "Proxmox VE 9.1.4"),
				pass("TLS-INSECURE", "api", "hypervisor proxmox", "the server's certificate is checked"),
				pass("PRIVILEGE-MISSING", "access", "hypervisor proxmox", "the login has every privilege that is needed"),
				pass("HOST-IOMMU-OFF", "host", "pve1", "IOMMU on, 9 groups"),
				pass("HOST-OFFLINE", "host", "pve1", "online"),
				pass("HOST-IOMMU-OFF", "host", "pve2", "IOMMU on, 10 groups"),
				pass("HOST-OFFLINE", "host", "pve2", "online"),
				knownvalue.ObjectExact(object{
					"id": str("HOST-IOMMU-OFF"), "verdict": str("info"), "layer": str("host"), "where": str("pve3"),
					"reason": str("the IOMMU is off: no PCI device is in an IOMMU group"),
					"fix":    str("turn VT-d or AMD-Vi on in the host's firmware (and intel_iommu=on before kernel 6.8), then reboot the host"),
				}),
				pass("HOST-OFFLINE", "host", "pve3", "online"),
				pass("VMID-RANGE-FULL", "capacity", "hypervisor proxmox", "800 VM numbers from 9100 to 9899 are free"),
				pass("MEMORY-SHORT", "capacity", "pve1", "host memory 3 of 128 GiB used"),
				pass("MEMORY-SHORT", "capacity", "pve2", "host memory 34 of 128 GiB used"),
				pass("MEMORY-SHORT", "capacity", "pve3", "host memory 18 of 64 GiB used"),
				pass("VM-IDENTITY", "vm", "hypervisor proxmox", "0 of 6 VMs are proven to be ours"),
			),
		},
	})
}

// TestCheckSaysWhatFails: a problem is a value, and an error only where it is wanted.
func TestCheckSaysWhatFails(t *testing.T) {
	l := testlab.New(t)
	l.Set("GPUWORKER_TOKEN", "gpuworker@pve!weak=22222222-2222-4222-8222-222222222222")
	test(t, l,
		resource.TestStep{
			Config: `data "gpuworker_check" "all" {}`,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue("data.gpuworker_check.all", tfjsonpath.New("passed"), yes(false)),
				statecheck.ExpectKnownValue("data.gpuworker_check.all", tfjsonpath.New("failed"), num(1)),
			},
		},
		resource.TestStep{
			Config: "data \"gpuworker_check\" \"all\" {\n  fail_on_problems = true\n}\n",
			ExpectError: testlab.OnlyError("Hypervisor proxmox: 1 check failed",
				"hypervisor proxmox: the login lacks Mapping.Modify on /mapping/pci, needed to claim cards (PRIVILEGE-MISSING)\n"+
					"→ gpuworker role -f FILE prints the commands that make the right login"),
		},
	)
}

// TestACheckThatCannotBeMadeIsNotAPass: it is no failure either.
func TestACheckThatCannotBeMadeIsNotAPass(t *testing.T) {
	test(t, testlab.New(t, offline("pve3")), resource.TestStep{
		Config: "data \"gpuworker_check\" \"all\" {\n  fail_on_problems = true\n}\n",
		ConfigStateChecks: []statecheck.StateCheck{
			statecheck.ExpectKnownValue("data.gpuworker_check.all", tfjsonpath.New("passed"), yes(false)),
			statecheck.ExpectKnownValue("data.gpuworker_check.all", tfjsonpath.New("failed"), num(0)),
		},
	})
}

func TestErrorsOfDataSources(t *testing.T) {
	l := testlab.New(t)
	test(t, l,
		resource.TestStep{
			Config:      `data "gpuworker_gpus" "all" { host = "pve9" }`,
			ExpectError: testlab.OnlyError("There is no such host", `"pve9" is not a host of hypervisor proxmox → write pve1, pve2 or pve3`),
		},
		resource.TestStep{
			Config: `data "gpuworker_gpus" "all" { state = "redy" }`,
			ExpectError: testlab.OnlyError("There is no such state of a card",
				`"redy" is not a state → write "ready", "in use", "reserved", "taken", "blocked", "no IOMMU" or "unknown"`),
		},
		resource.TestStep{
			Config: `
resource "terraform_data" "name" { input = "lab" }
provider "gpuworker" { name = terraform_data.name.output }
data "gpuworker_hosts" "all" {}
`,
			ExpectError: testlab.OnlyError("The hypervisor cannot be observed yet", "a value in the configuration of the provider is not known before apply\n"+
				"→ add depends_on to the data source, with the resource that the value comes from: it is then read during apply"),
		},
		resource.TestStep{
			Config: `
resource "terraform_data" "name" { input = "lab" }
provider "gpuworker" { name = terraform_data.name.output }
data "gpuworker_hosts" "all" { depends_on = [terraform_data.name] }
`,
			Check: resource.TestCheckResourceAttr("data.gpuworker_hosts.all", "hosts.#", "3"),
		},
	)
}

// TestAnUnreachableEndpoint: all data sources say the same.
func TestAnUnreachableEndpoint(t *testing.T) {
	l := testlab.New(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	l.Set("GPUWORKER_ENDPOINT", "https://"+closed)
	var steps []resource.TestStep
	for _, name := range []string{"gpuworker_gpus", "gpuworker_hosts", "gpuworker_check"} {
		steps = append(steps, resource.TestStep{
			Config: `data "` + name + `" "all" {}`,
			ExpectError: testlab.OnlyError("Hypervisor proxmox cannot be observed",
				"hypervisor proxmox: reach the hypervisor: GET /version: dial tcp "+closed+": connect: connection refused\n"+
					"→ check that the host is up and the endpoint is correct, then run the same command again"),
		})
	}
	test(t, l, steps...)
}
