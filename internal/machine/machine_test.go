package machine

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/gpuworker/gpuworker/internal/term"
)

var hostile = rapid.StringOfN(rapid.OneOf(
	rapid.Rune(), rapid.RuneFrom([]rune("\x00\x01\x1b\n\r\t\x7f\u0085\u009b\u00a0\u00ad\u2028\u202e\u200b\ufeff\uffff\ue000\U000e0001\U0010ffff\"\\'#:-{}[]&*!|> 0truen~")),
), -1, 60, -1)

// Values are the same after being read, in both formats, and the text cannot control a
// terminal.
func TestValuesAreTheSameAfterReading(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := map[string]any{
			"list": toAny(rapid.SliceOf(hostile).Draw(t, "list")),
			"map":  toAnyMap(rapid.MapOf(hostile, hostile).Draw(t, "map")),
			"n":    float64(rapid.Int32().Draw(t, "n")), "yes": true, "none": nil,
		}
		for name, format := range map[string]struct {
			write func(any) ([]byte, error)
			read  func([]byte, *map[string]any) error
		}{
			"JSON": {JSON, func(b []byte, into *map[string]any) error { return json.Unmarshal(b, into) }},
			"YAML": {YAML, func(b []byte, into *map[string]any) error { return yaml.Unmarshal(b, into) }},
		} {
			text, err := format.write(value)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if at := bytes.IndexFunc(text, func(r rune) bool { return r != '\n' && !term.Shown(r) }); at >= 0 {
				t.Fatalf("%s has %q", name, text[at:min(at+4, len(text))])
			}
			var got map[string]any
			if err := format.read(text, &got); err != nil {
				t.Fatalf("%s is not read: %v\n%s", name, err, text)
			}
			if diff := cmp.Diff(value, got); diff != "" {
				t.Fatalf("%s says something else (-written +read):\n%s\n%s", name, diff, text)
			}
		}
	})
}

func toAny(list []string) []any {
	all := make([]any, len(list))
	for i := range list {
		all[i] = list[i]
	}
	return all
}

func toAnyMap(m map[string]string) map[string]any {
	all := map[string]any{}
	for key, value := range m {
		all[key] = value
	}
	return all
}

func TestNoLineIsLong(t *testing.T) {
	value := map[string]string{"plain": strings.Repeat("x", 1<<20), "odd": strings.Repeat("\x1b", 1<<20), "lines": strings.Repeat("x y\n", 1<<18), strings.Repeat("k\u202e", 1<<19): "v"}
	for _, write := range []func(any) ([]byte, error){JSON, YAML} {
		text, err := write(value)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if len(line) > term.MaxLine {
				t.Errorf("%d bytes: %s", len(line), line[:40])
			}
		}
		if !strings.Contains(string(text), `x…`) {
			t.Error("nothing says that something was cut off")
		}
	}
}

func TestALineIsOneLineAndAMemberIsTheLast(t *testing.T) {
	for _, test := range []struct {
		value any
		want  string
	}{
		{map[string]any{"b": "x\ny\u202e<", "a": []int{1, 2}}, `{"a":[1,2],"b":"x\ny\u202e<","warnings":["w"]}`},
		{struct{}{}, `{"warnings":["w"]}`},
		{[]int{1}, `[1]`},
		{"text", `"text"`},
	} {
		value, err := Member(test.value, "warnings", []string{"w"})
		if err != nil {
			t.Fatal(err)
		}
		line, err := Line(value)
		if err != nil || string(line) != test.want+"\n" {
			t.Errorf("%v: %s, want %s", err, line, test.want)
		}
	}
}
