package testlab

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

// Remember is a check that keeps an attribute in a variable for the next steps: a
// configuration cannot name the attributes of its own resource.
func Remember(variables config.Variables, name, address, attribute string) resource.TestCheckFunc {
	return func(state *terraform.State) error {
		found, is := state.RootModule().Resources[address]
		if !is || found.Primary.Attributes[attribute] == "" {
			return fmt.Errorf("%s has no %s", address, attribute)
		}
		variables[name] = config.StringVariable(found.Primary.Attributes[attribute])
		return nil
	}
}

// RememberUUIDs is a check that keeps the UUIDs of some workers of a pool, or of all, in
// the variable uuids.
func RememberUUIDs(variables config.Variables, address string, workers ...string) resource.TestCheckFunc {
	return func(state *terraform.State) error {
		found, is := state.RootModule().Resources[address]
		if !is {
			return fmt.Errorf("%s is not in the state", address)
		}
		uuids := []config.Variable{}
		for name, value := range found.Primary.Attributes {
			worker, attribute, nested := strings.Cut(strings.TrimPrefix(name, "workers."), ".")
			if nested && attribute == "uuid" && (len(workers) == 0 || slices.Contains(workers, worker)) {
				uuids = append(uuids, config.StringVariable(value))
			}
		}
		variables["uuids"] = config.SetVariable(uuids...)
		return nil
	}
}
