// Package functions has the provider functions. They need no hypervisor.
package functions

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/function"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// All makes all functions.
func All() []func() function.Function {
	return []func() function.Function{
		func() function.Function {
			return textFunction{
				name: "normalize_bdf", parameter: "address", convert: normalizeBDF,
				summary: "Write a PCI address in full",
				description: "Writes a PCI address (BDF) as `gpuworker_gpus` and `lspci -D` do: `3:0.0`, `03:00.0`, `0000:03:00` and `0000:03:00.0` are all " +
					"`0000:03:00.0`. Upper case becomes lower case, and an address without a function is that of function 0. Any other text is an error.",
				parameterDescription: "The address, `03:00.0`.",
			}
		},
		func() function.Function {
			return textFunction{
				name: "dns_label", parameter: "text", convert: dnsLabel,
				summary: "Make a DNS label of a text",
				description: "Makes a name for a worker of any text: `dev-gpu-0000-03-00.0` becomes `dev-gpu-0000-03-00-0`. Upper case becomes lower case; dots, spaces and " +
					"underscores become hyphens; other characters are left out. It is an error when nothing is left, or more than 63 characters. Two texts may " +
					"become the same label.",
				parameterDescription: "The text, `dev-gpu-0000-03-00.0`.",
			}
		},
	}
}

func normalizeBDF(text string) (string, error) {
	bdf, err := pci.NormalizeBDF(text)
	return bdf.String(), err
}

func dnsLabel(text string) (string, error) {
	label := v1alpha1.LabelFrom(text)
	if label == "" {
		return "", fmt.Errorf("%s cannot become a DNS label, which has 1 to 63 lower-case letters, digits and hyphens; use another text", phrase.Quote(text))
	}
	return label, nil
}

// textFunction is a function from a text to a text.
type textFunction struct {
	name, summary, description      string
	parameter, parameterDescription string
	convert                         func(string) (string, error)
}

// Metadata implements function.Function.
func (f textFunction) Metadata(_ context.Context, _ function.MetadataRequest, response *function.MetadataResponse) {
	response.Name = f.name
}

// Definition implements function.Function.
func (f textFunction) Definition(_ context.Context, _ function.DefinitionRequest, response *function.DefinitionResponse) {
	response.Definition = function.Definition{
		Summary: f.summary, MarkdownDescription: f.description,
		Parameters: []function.Parameter{function.StringParameter{Name: f.parameter, MarkdownDescription: f.parameterDescription}},
		Return:     function.StringReturn{},
	}
}

// Run implements function.Function.
func (f textFunction) Run(ctx context.Context, request function.RunRequest, response *function.RunResponse) {
	var text string
	if response.Error = request.Arguments.Get(ctx, &text); response.Error != nil {
		return
	}
	result, err := f.convert(text)
	if err != nil {
		response.Error = function.NewArgumentFuncError(0, err.Error())
		return
	}
	response.Error = response.Result.Set(ctx, result)
}
