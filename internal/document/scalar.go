package document

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gpuworker/gpuworker/internal/phrase"
)

// readScalar reads one scalar into a string, an integer or a bool.
func (r *reader) readScalar(v reflect.Value, node *yaml.Node, path string) {
	if node.Kind != yaml.ScalarNode {
		r.wrong(node, path, "want %s, got %s", wanted(v), noun(node))
		return
	}
	switch v.Kind() {
	case reflect.String:
		r.readText(v, node, path)
	case reflect.Bool:
		r.readBool(v, node, path)
	case reflect.Int, reflect.Int32, reflect.Int64:
		r.readInt(v, node, path)
	default:
		panic(fmt.Sprintf("document: %s: no way to read a %s", path, v.Type()))
	}
}

func wanted(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "a whole number"
	}
	return "text"
}

// isText reports whether a scalar is text. A date is text too: no field is a time.
func isText(node *yaml.Node) bool {
	tag := node.ShortTag()
	return tag == "!!str" || tag == "!!timestamp"
}

func (r *reader) readText(v reflect.Value, node *yaml.Node, path string) {
	switch {
	case isText(node) && strings.ContainsFunc(node.Value, isControl):
		r.wrong(node, path, "has a control character in it; was it copied from a terminal?")
	case isText(node):
		v.SetString(node.Value)
	case isNull(node):
		r.wrong(node, path, `want text, got nothing; write "" for no text`)
	default:
		r.wrong(node, path, "want text, got %s%s", noun(node), r.rewrite(node, strconv.Quote(node.Value)))
	}
}

// isControl reports whether a character would change when it is written again, or could
// control a terminal. Line breaks and tabs are text.
func isControl(r rune) bool { return !yamlAllows(r) || r == '\u0085' || r == '\ufeff' }

func (r *reader) readBool(v reflect.Value, node *yaml.Node, path string) {
	switch node.Value {
	case "true", "True", "TRUE":
		v.SetBool(true)
	case "false", "False", "FALSE":
	default:
		r.wrong(node, path, "want true or false, got %s", r.quote(node))
		return
	}
	if node.ShortTag() != "!!bool" {
		r.wrong(node, path, "want true or false, got %s%s", noun(node), r.rewrite(node, strings.ToLower(node.Value)))
	}
}

var wholeNumber = regexp.MustCompile(`^[+-]?(0|[1-9][0-9]*)$`)

func (r *reader) readInt(v reflect.Value, node *yaml.Node, path string) {
	if !wholeNumber.MatchString(node.Value) {
		r.wrong(node, path, "want a whole number in decimal digits, got %s", r.quote(node))
		return
	}
	if isText(node) {
		r.wrong(node, path, "want a whole number, got %s%s", noun(node), r.rewrite(node, node.Value))
		return
	}
	n, err := strconv.ParseInt(node.Value, 10, v.Type().Bits())
	if err != nil {
		r.wrong(node, path, "%s is too large", node.Value)
		return
	}
	v.SetInt(n)
}

// quantityForm accepts less than resource.ParseQuantity: no exponents (slow when huge),
// and no suffixes that make no sense for bytes.
var quantityForm = regexp.MustCompile(`^[0-9]{1,19}(\.[0-9]{1,6})?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$`)

// readQuantity reads a number of bytes, "16Gi".
func (r *reader) readQuantity(v reflect.Value, node *yaml.Node, path string) {
	if node.Kind != yaml.ScalarNode || isNull(node) {
		r.wrong(node, path, `want a quantity such as "16Gi", got %s`, noun(node))
		return
	}
	if !quantityForm.MatchString(node.Value) {
		r.wrong(node, path, "%s is not a quantity; write %s", r.quote(node), unitHint(node.Value))
		return
	}
	quantity, err := resource.ParseQuantity(node.Value)
	if err != nil || quantity.CmpInt64(quantity.Value()) != 0 {
		r.wrong(node, path, "%s is not a whole number of bytes", r.quote(node))
		return
	}
	v.Set(reflect.ValueOf(quantity))
}

// unitHint recognizes other spellings of a size: 16GB, 16 GiB, 16g.
func unitHint(text string) string {
	match := otherUnit.FindStringSubmatch(text)
	if match == nil {
		return `digits and Mi, Gi or Ti, for example "16Gi"`
	}
	return strconv.Quote(match[1] + strings.ToUpper(match[2]) + "i")
}

var otherUnit = regexp.MustCompile(`(?i)^([0-9]{1,15}) ?([kmgt])i?b?$`)

// isZeroText reports whether a number is written as 0, and not left out.
func isZeroText(node *yaml.Node) bool {
	node = target(node)
	return node.Kind == yaml.ScalarNode && zeroForm.MatchString(node.Value)
}

var zeroForm = regexp.MustCompile(`^[+-]?0+(\.0+)?[A-Za-z]{0,2}$`)

// quote repeats a scalar in a message, unless it may be a secret.
func (r *reader) quote(node *yaml.Node) string {
	if r.quiet > 0 {
		return noun(node)
	}
	return phrase.Quote(node.Value)
}

// rewrite suggests how to write a scalar of the wrong type, unless it may be a secret.
func (r *reader) rewrite(node *yaml.Node, better string) string {
	if r.quiet > 0 || len(node.Value) > 40 {
		return "; put it in quotes if it is text"
	}
	return "; write " + better
}
