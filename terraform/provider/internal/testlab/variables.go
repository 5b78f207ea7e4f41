package testlab

import (
	"fmt"

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
