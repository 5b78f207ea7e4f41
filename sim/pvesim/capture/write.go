package capture

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// YAML returns the world as a readable file: notes first, then the sections in the order
// of pvesim.World, with small objects on one line each. It has no date and no address, so
// that the same cluster gives the same bytes.
func (r *Result) YAML() ([]byte, error) {
	document := mapping(reflect.ValueOf(r.World))
	var out bytes.Buffer
	out.WriteString(r.head())
	for i := 0; i < len(document.Content); i += 2 {
		section := &yaml.Node{Kind: yaml.MappingNode, Content: document.Content[i : i+2]}
		key, value := document.Content[i].Value, document.Content[i+1]
		var text bytes.Buffer
		encoder := yaml.NewEncoder(&text)
		encoder.SetIndent(2)
		if err := encoder.Encode(section); err != nil {
			return nil, fmt.Errorf("write the world: %w", err)
		}
		if value.Kind != yaml.ScalarNode {
			out.WriteString("\n" + comments[key])
		}
		out.Write(text.Bytes())
	}
	return out.Bytes(), nil
}

// comments are the comments above the sections.
var comments = map[string]string{
	"vms":    "# Config has the options as Proxmox VE keeps them; pending waits for a restart.\n",
	"users":  "# All passwords and secrets are the simulator's.\n",
	"tokens": "",
}

// head is the comment at the top of the file, with the notes.
func (r *Result) head() string {
	var b strings.Builder
	b.WriteString("# A Proxmox VE cluster as \"pvesim capture\" found it, for pvesim. Names, addresses\n" +
		"# and identities are pseudonyms, all secrets are made up.\n#\n")
	fmt.Fprintf(&b, "# The login that captured is %s, with the secret\n# %s here.\n", r.Login, r.Secret)
	for _, kind := range []struct {
		assumed bool
		title   string
	}{{false, "Not captured:"}, {true, "Assumed:"}} {
		title := "#\n# " + kind.title + "\n"
		for _, note := range r.Notes {
			if note.Assumed != kind.assumed {
				continue
			}
			_, text, _ := strings.Cut(note.String(), ": ")
			b.WriteString(title + wrap(text, "# - ", "#   "))
			title = ""
		}
	}
	b.WriteString("\n")
	return b.String()
}

// wrap breaks a text into lines of at most 100 characters.
func wrap(text, first, next string) string {
	const width = 100
	var out strings.Builder
	line := first
	for i, word := range strings.Fields(text) {
		if i > 0 && len(line)+len(word) > width {
			out.WriteString(strings.TrimRight(line, " ") + "\n")
			line = next
		}
		line += word + " "
	}
	return out.String() + strings.TrimRight(line, " ") + "\n"
}

// short are the types of objects that are written on one line.
var short = []reflect.Type{
	reflect.TypeFor[pvesim.PCIFunction](), reflect.TypeFor[pvesim.Bridge](), reflect.TypeFor[pvesim.Volume](), reflect.TypeFor[pvesim.Guest](),
	reflect.TypeFor[pvesim.Pool](), reflect.TypeFor[pvesim.User](), reflect.TypeFor[pvesim.Group](), reflect.TypeFor[pvesim.Token](),
	reflect.TypeFor[pvesim.ACL](), reflect.TypeFor[pvesim.Datacenter](),
}

// node is a value as YAML, with its fields in the order of the type.
func node(v reflect.Value) *yaml.Node {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		return node(v.Elem())
	case reflect.Struct:
		n := mapping(v)
		storage, is := v.Interface().(pvesim.Storage)
		if slices.Contains(short, v.Type()) || is && len(storage.Volumes) == 0 {
			n.Style = yaml.FlowStyle
		}
		return n
	case reflect.Map:
		return options(v)
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		if v.Type().Elem().Kind() == reflect.String {
			n.Style = yaml.FlowStyle
		}
		for i := range v.Len() {
			n.Content = append(n.Content, node(v.Index(i)))
		}
		return n
	case reflect.String:
		return text(v.String())
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(v.Interface())}
}

func mapping(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := range v.NumField() {
		name, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if option == "omitempty" && empty(v.Field(i)) {
			continue
		}
		n.Content = append(n.Content, text(name), node(v.Field(i)))
	}
	return n
}

func empty(v reflect.Value) bool {
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Map {
		return v.Len() == 0
	}
	return v.IsZero()
}

// options writes a map; a VM's options begin with the most important ones.
func options(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	values := map[string]reflect.Value{}
	for _, key := range v.MapKeys() {
		values[key.String()] = v.MapIndex(key)
	}
	first := []string{"name", "template", "tags", "description"}
	names := slices.SortedFunc(maps.Keys(values), natural)
	slices.SortStableFunc(names, func(a, b string) int { return rank(first, a) - rank(first, b) })
	for _, name := range names {
		n.Content = append(n.Content, text(name), node(values[name]))
	}
	return n
}

func rank(first []string, name string) int {
	if at := slices.Index(first, name); at >= 0 {
		return at
	}
	return len(first)
}

// text is a string that every YAML reader reads as a string: YAML 1.1 reads "off" as
// false, and digits with colons as numbers of base 60.
func text(value string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(value)
	if err := n.Encode(value); err != nil || n.Style == 0 && len(value) > 0 && digit(value[0]) && strings.Contains(value, ":") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}
