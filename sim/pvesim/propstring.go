package pvesim

import (
	"fmt"
	"slices"
	"strings"
)

// propFormat is the format of a property string: "virtio,bridge=vmbr0".
type propFormat struct {
	// defaultKey is the property that may be given without its name.
	defaultKey string
	props      specs
	// alias maps one name to another: virtio=MAC is macaddr and says the model.
	alias map[string]string
}

// prop is one part of a property string, in the order in which it was given.
type prop struct{ key, value string }

// split takes a property string apart; complaint is what is wrong with its
// form.
func (f *propFormat) split(text string) (props []prop, complaint string) {
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		key, value, named := strings.Cut(part, "=")
		switch {
		case named && key != "" && value != "":
		case !named && f.defaultKey != "":
			key, value = f.defaultKey, part
		case !named:
			return nil, "value without key, but schema does not define a default key"
		default:
			return nil, "missing key in comma-separated list property"
		}
		if seen[key] {
			return nil, "duplicate key in comma-separated list property: " + key
		}
		seen[key] = true
		props = append(props, prop{key, value})
	}
	return props, ""
}

// check is the format function of a property string.
func (f *propFormat) check(name, text string) string {
	props, complaint := f.split(text)
	if complaint != "" {
		return complaint
	}
	given := map[string]bool{}
	var complaints []string
	for _, p := range props {
		key := p.key
		if model, ok := f.alias[key]; ok {
			given[f.defaultKey], key = true, model
		}
		given[key] = true
		s, known := f.props[key]
		if !known {
			complaints = append(complaints, fmt.Sprintf("%s.%s: %s\n", name, p.key, unknownProperty))
			continue
		}
		if s.kind == "boolean" {
			p.value = lenientBool(p.value)
		}
		if text := s.check(p.key, p.value); text != "" {
			complaints = append(complaints, fmt.Sprintf("%s.%s: %s\n", name, p.key, text))
		}
	}
	for key, s := range f.props {
		if s.required && !given[key] {
			complaints = append(complaints, fmt.Sprintf("%s.%s: property is missing and it is not optional\n", name, key))
		}
	}
	if len(complaints) == 0 {
		return ""
	}
	slices.Sort(complaints)
	return strings.TrimSuffix("format error\n"+strings.Join(complaints, ""), "\n")
}

// lenientBool takes the spellings that property strings allow for booleans.
func lenientBool(value string) string {
	switch strings.ToLower(value) {
	case "1", "on", "yes", "true":
		return "1"
	case "0", "off", "no", "false":
		return "0"
	}
	return value
}

// parse is split for text that has been checked.
func (f *propFormat) parse(text string) map[string]string {
	props, _ := f.split(text)
	out := map[string]string{}
	for _, p := range props {
		out[p.key] = p.value
	}
	return out
}
