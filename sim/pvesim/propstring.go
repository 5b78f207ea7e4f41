package pvesim

import (
	"fmt"
	"slices"
	"strings"
)

// propFormat is the format of a property string: "virtio,bridge=vmbr0".
type propFormat struct {
	// defaultKey is the property that may be written without its name.
	defaultKey string
	props      specs
	// alias maps one name to another: virtio=MAC is macaddr.
	alias map[string]string
	// keyAlias is the property whose value is the name of the alias: virtio=MAC also sets
	// the model.
	keyAlias string
	// whole, if set, checks all properties together after each is valid.
	whole func(props map[string]string) string
}

// prop is one part of a property string.
type prop struct{ key, value string }

// split splits a property string; complaint is the error if it is malformed.
func (f *propFormat) split(text string) (props []prop, complaint string) {
	seen, short := map[string]bool{}, false
	for part := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		key, value, named := strings.Cut(part, "=")
		switch {
		case named && key != "" && value != "":
		case !named && f.defaultKey != "" && !short:
			key, value, short = f.defaultKey, part, true
		case !named && f.defaultKey != "":
			return nil, "duplicate key in comma-separated list property: " + f.defaultKey
		case !named:
			return nil, "value without key, but schema does not define a default key"
		default:
			return nil, "missing key in comma-separated list property"
		}
		if seen[key] {
			return nil, "duplicate key in comma-separated list property: " + key
		}
		seen[key] = true
		if name, isAlias := f.alias[key]; isAlias {
			if f.keyAlias != "" && seen[f.keyAlias] {
				return nil, fmt.Sprintf("key alias '%s' is already defined", f.keyAlias)
			}
			if seen[name] {
				return nil, fmt.Sprintf("key '%s' is already defined (via alias)", name)
			}
			seen[f.keyAlias], seen[name] = true, true
		}
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
	given := map[string]string{}
	for _, p := range props {
		key := p.key
		if to, isAlias := f.alias[key]; isAlias {
			if f.keyAlias != "" {
				given[f.keyAlias] = key
			}
			key = to
		}
		if f.props[key].kind == "boolean" {
			p.value = lenientBool(p.value)
		}
		given[key] = p.value
	}
	if complaints := f.complaints(name, given); len(complaints) > 0 {
		slices.Sort(complaints)
		return strings.TrimSuffix("format error\n"+strings.Join(complaints, ""), "\n")
	}
	if f.whole != nil {
		return f.whole(given)
	}
	return ""
}

// complaints returns the errors of single properties, one per line.
func (f *propFormat) complaints(name string, given map[string]string) []string {
	var out []string
	say := func(key, text string) { out = append(out, fmt.Sprintf("%s.%s: %s\n", name, key, text)) }
	for key, value := range given {
		s, known := f.props[key]
		if !known {
			say(key, unknownProperty)
			continue
		}
		if text := s.check(key, value); text != "" {
			say(key, text)
		}
		if _, there := given[s.requires]; s.requires != "" && !there {
			say(s.requires, fmt.Sprintf("missing property required by '%s.%s'", name, key))
		}
	}
	for key, s := range f.props {
		if _, there := given[key]; s.required && !there {
			say(key, "property is missing and it is not optional")
		}
	}
	return out
}

// lenientBool converts the spellings of booleans in property strings.
func lenientBool(value string) string {
	switch strings.ToLower(value) {
	case "1", "on", "yes", "true":
		return "1"
	case "0", "off", "no", "false":
		return "0"
	}
	return value
}

// parse is split for a valid text.
func (f *propFormat) parse(text string) map[string]string {
	props, _ := f.split(text)
	out := map[string]string{}
	for _, p := range props {
		out[p.key] = p.value
	}
	return out
}
