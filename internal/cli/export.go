package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

func (a *app) exportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "Write what exists as documents",
		Long: `Observe the hypervisors and write what exists in the input format: each pool with
its workers, and the free cards. Use it to start a new file, or to see what
gpuworker sees.`,
		Example: `  gpuworker export -f login.yaml > lab.yaml`,
		RunE:    verb(a.export),
	}
}

func (a *app) export(ctx context.Context, _ []string) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	text, err := e.engine.Export(ctx, e.documents)
	if err != nil {
		return err
	}
	if a.output != outJSON {
		_, err = a.Out.Write(text)
		return err
	}
	return a.exportJSON(text)
}

// list is several documents as one JSON value, which -f can read.
type list struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Items      []json.RawMessage `json:"items"`
}

// exportJSON writes the documents as one List.
func (a *app) exportJSON(text []byte) error {
	all := list{APIVersion: "v1", Kind: "List", Items: []json.RawMessage{}}
	for _, document := range bytes.Split(append([]byte("\n"), text...), []byte("\n---")) {
		if len(bytes.TrimSpace(document)) == 0 {
			continue
		}
		data, err := yaml.YAMLToJSON(document)
		if err != nil {
			return fmt.Errorf("write the documents as JSON: %w", err)
		}
		if string(data) == "null" {
			continue // only comments
		}
		all.Items = append(all.Items, data)
	}
	return a.machine(all)
}
