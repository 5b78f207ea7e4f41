package pve

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

type sample struct {
	Text    string            `json:"text"`
	Int     int               `json:"int"`
	Big     int64             `json:"big"`
	Float   float64           `json:"float"`
	Bool    bool              `json:"bool"`
	Pointer *string           `json:"pointer"`
	List    []int             `json:"list"`
	Map     map[string]string `json:"map"`
	Group   int               `json:"group" default:"-1"`
	Inner   struct {
		Deep int `json:"deep"`
	} `json:"inner"`
	Hidden int `json:"-"`
	Plain  int
}

func TestDecodeAcceptsTheVariantsOfTheServer(t *testing.T) {
	text := func(s string) *string { return &s }
	tests := []struct {
		name, in string
		want     sample
	}{
		{"numbers as numbers", `{"int":1,"big":4611686018427387903,"float":0.5}`, sample{Int: 1, Big: 4611686018427387903, Float: 0.5, Group: -1}},
		{"numbers as texts", `{"int":"256","big":"-5","float":"0.07"}`, sample{Int: 256, Big: -5, Float: 0.07, Group: -1}},
		{"numbers as Perl computes them", `{"int":2048.0,"big":1.5e9}`, sample{Int: 2048, Big: 1500000000, Group: -1}},
		{"texts as numbers", `{"text":9}`, sample{Text: "9", Group: -1}},
		{"texts as booleans", `{"text":true}`, sample{Text: "1", Group: -1}},
		{"a boolean as 1", `{"bool":1}`, sample{Bool: true, Group: -1}},
		{"a boolean as text", `{"bool":"yes"}`, sample{Bool: true, Group: -1}},
		{"Perl's false", `{"bool":""}`, sample{Group: -1}},
		{"a boolean for a number", `{"int":true}`, sample{Int: 1, Group: -1}},
		{"an optional text", `{"pointer":0}`, sample{Pointer: text("0"), Group: -1}},
		{"null leaves things as they are", `{"int":null,"list":null,"map":null,"inner":null,"pointer":null,"group":null}`, sample{Group: -1}},
		{"a value beats the default", `{"group":"0"}`, sample{}},
		{"lists", `{"list":["1",2]}`, sample{List: []int{1, 2}, Group: -1}},
		{"an object of texts", `{"map":{"a":1,"b":"x"}}`, sample{Map: map[string]string{"a": "1", "b": "x"}, Group: -1}},
		{"an empty list for an empty object", `{"map":[]}`, sample{Map: map[string]string{}, Group: -1}},
		{"something inside", `{"inner":{"deep":"3"}}`, sample{Inner: struct {
			Deep int `json:"deep"`
		}{3}, Group: -1}},
		{"fields that are not asked for", `{"Plain":7,"-":7,"Hidden":7,"other":{"a":[]}}`, sample{Group: -1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got sample
			if err := decode([]byte(tt.in), &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestDecodeRefusesAmbiguousValues(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"a word for a number", `{"int":"many"}`, `data.int should be an integer, but is "many"`},
		{"a number that is too large", `{"big":1e30}`, `data.big should be an integer`},
		{"no number", `{"int":"NaN"}`, `data.int should be an integer`},
		{"a word for a float", `{"float":"x"}`, `data.float should be a number`},
		{"a word for a boolean", `{"bool":"maybe"}`, `data.bool should be a boolean`},
		{"an object for a text", `{"text":{}}`, `data.text should be a string`},
		{"a text for a list", `{"list":"1"}`, `data.list should be a list`},
		{"a wrong element", `{"list":[1,"x"]}`, `data.list[1] should be an integer`},
		{"a text for an object", `{"map":"x"}`, `data.map should be an object`},
		{"a filled list for an object", `{"map":[1]}`, `data.map should be an object`},
		{"a wrong value in an object", `{"map":{"a":[]}}`, `data.map.a should be a string`},
		{"no JSON", `{`, `unexpected end of JSON input`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got sample
			err := decode([]byte(tt.in), &got)
			if err == nil {
				t.Fatalf("taken as %+v", got)
			}
			mustContain(t, err.Error(), tt.want)
		})
	}
	var odd struct {
		X uint8 `json:"x"`
	}
	if err := decode([]byte(`{"x":1}`), &odd); err == nil {
		t.Error("a type that no answer needs was decoded")
	}
}

func TestClipCutsBetweenCharacters(t *testing.T) {
	for in, want := range map[string]string{"abc": "abc", "abcd": "abc…", "abü": "ab…", "äöü": "ä…"} {
		if got := clip(in, 3); got != want {
			t.Errorf("clip(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzDecode: the reader fails on no text, and accepts only valid JSON.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, `null`, `{"int":"1","list":[1,"2"],"map":{"a":"b"},"inner":{"deep":1},"x":{"y":[[],{}]}}`,
		`{"text":"a\"\\\u00e9"}`, "{\"text\":\"\xff\"}", ` { "map" : [ ] , "bool" : true } `, `{"list":[}`, `{"text":"`, `{"map":{"a":[1,2,{"b":"]"}]}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got sample
		err := decode([]byte(text), &got)
		if err == nil && !json.Valid([]byte(text)) {
			t.Errorf("%q was taken as %+v", text, got)
		}
		if err != nil && !reflect.DeepEqual(got, sample{}) {
			t.Errorf("%q: %v, and yet %+v", text, err, got)
		}
		var plain struct {
			Text string `json:"text"`
		}
		if err == nil && json.Unmarshal([]byte(text), &plain) == nil && strings.Count(text, `ext"`) == 1 && got.Text != plain.Text {
			t.Errorf("%q: text %q, want %q", text, got.Text, plain.Text)
		}
	})
}
