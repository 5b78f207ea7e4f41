package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// scenario has the needed fields of a file of recordings. The program replay reads all
// fields.
type scenario struct {
	Name string `json:"name"`
	// Requires is the variant of the cluster that it was recorded in.
	Requires  string     `json:"requires"`
	Exchanges []exchange `json:"exchanges"`

	file string
}

type exchange struct {
	Request  *request   `json:"request"`
	Parallel []exchange `json:"parallel"`
}

type request struct {
	Method string `json:"method"`
	Path   string `json:"path"` // below /api2/json, or from the root with "//"
}

// readScenarios reads a directory, in the order of the file names.
func readScenarios(dir string) ([]scenario, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no scenarios in %s: is that the directory of the recordings?", dir)
	}
	slices.Sort(files)
	var all []scenario
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		s := scenario{file: file}
		if err := json.Unmarshal(data, &s); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// requests returns all requests of a scenario, including parallel ones.
func (s scenario) requests() []request {
	var all []request
	var collect func([]exchange)
	collect = func(exchanges []exchange) {
		for _, ex := range exchanges {
			if ex.Request != nil {
				all = append(all, *ex.Request)
			}
			collect(ex.Parallel)
		}
	}
	collect(s.Exchanges)
	return all
}

// route returns the path below /api2/json, without query; "" for another path. Each
// variable in it is one segment.
func (r request) route() string {
	path, _, _ := strings.Cut(r.Path, "?")
	if rest, fromRoot := strings.CutPrefix(path, "//"); fromRoot {
		for _, format := range []string{"api2/json", "api2/extjs"} {
			if below, ok := strings.CutPrefix(rest, format); ok {
				return "/" + strings.Trim(below, "/")
			}
		}
		return ""
	}
	return path
}

// variants returns the variants of the scenarios; "" is the cluster without a variant.
func variants(scenarios []scenario) []string {
	var all []string
	for _, s := range scenarios {
		if !slices.Contains(all, s.Requires) {
			all = append(all, s.Requires)
		}
	}
	slices.Sort(all)
	return all
}
