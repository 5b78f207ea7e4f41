package functions_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

func TestNormalizeBDFWritesAnAddressInFull(t *testing.T) {
	good(t, "normalize_bdf", map[string]string{
		"3:0.0": "0000:03:00.0", "03:00.0": "0000:03:00.0", "0000:03:00": "0000:03:00.0", "0000:AF:1F.7": "0000:af:1f.7",
	})
	const form = `; write it as domain:bus:device.function, for example "0000:03:00.0".`
	bad(t, "normalize_bdf", map[string]string{
		"":             `Invalid value for "address" parameter: "" is not a PCI address` + form,
		"pve1":         `Invalid value for "address" parameter: "pve1" is not a PCI address` + form,
		"0000:03:20.0": `Invalid value for "address" parameter: "0000:03:20.0": device 20 does not exist, devices are 00 to 1f.`,
		"0000:03:00.8": `Invalid value for "address" parameter: "0000:03:00.8": function 8 does not exist, functions are 0 to 7.`,
	})
}

func TestDNSLabelMakesANameOfAText(t *testing.T) {
	good(t, "dns_label", map[string]string{
		"dev-gpu-0000-03-00.0": "dev-gpu-0000-03-00-0", "GPU worker_1": "gpu-worker-1", "-x-": "x", "gpu-1": "gpu-1",
	})
	const rule = " cannot become a DNS label, which has 1 to 63 lower-case letters, digits and hyphens; use another text."
	const long = "a123456789012345678901234567890123456789012345678901234567890123"
	bad(t, "dns_label", map[string]string{
		"":     `Invalid value for "text" parameter: ""` + rule,
		"?.?":  `Invalid value for "text" parameter: "?.?"` + rule,
		"äöü":  `Invalid value for "text" parameter: "äöü"` + rule,
		long:   fmt.Sprintf(`Invalid value for "text" parameter: %q`, long) + rule,
		"\x1b": `Invalid value for "text" parameter: "\x1b"` + rule,
	})
}

func call(name, argument string) string {
	text, err := json.Marshal(argument)
	if err != nil {
		panic(err) // a text can be written
	}
	return fmt.Sprintf("output \"result\" {\n  value = provider::gpuworker::%s(jsondecode(%q))\n}\n", name, text)
}

func good(t *testing.T, name string, results map[string]string) {
	t.Helper()
	l := testlab.Alone(t)
	var steps []resource.TestStep
	for argument, want := range results {
		steps = append(steps, resource.TestStep{
			Config: call(name, argument),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownOutputValue("result", knownvalue.StringExact(want)),
			},
		})
	}
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: steps})
}

func bad(t *testing.T, name string, details map[string]string) {
	t.Helper()
	l := testlab.Alone(t)
	var steps []resource.TestStep
	for argument, detail := range details {
		steps = append(steps, resource.TestStep{Config: call(name, argument), ExpectError: testlab.OnlyError("Invalid function argument", detail)})
	}
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: steps})
}
