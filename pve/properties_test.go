package pve

import (
	"slices"
	"strings"
	"testing"
)

func TestPropertiesKeepUnknownParts(t *testing.T) {
	tests := []struct {
		name string
		in   string
		do   func(*Properties)
		want string
	}{
		{"nothing done", "0000:3b:00.0,pcie=1,driver=keep,x-new=a b", func(*Properties) {}, "0000:3b:00.0,pcie=1,driver=keep,x-new=a b"},
		{"a property changed in its place", "host=0000:3b:00,pcie=0,rombar=1", func(p *Properties) { p.Set("pcie", "1") }, "host=0000:3b:00,pcie=1,rombar=1"},
		{"a property added at the end", "mapping=gpu-a", func(p *Properties) { p.Set("pcie", "1") }, "mapping=gpu-a,pcie=1"},
		{"the bare value changed", "0000:3b:00.0,pcie=1", func(p *Properties) { p.Set("", "0000:86:00.0") }, "0000:86:00.0,pcie=1"},
		{"the bare value added in front", "pcie=1", func(p *Properties) { p.Set("", "0000:86:00.0") }, "0000:86:00.0,pcie=1"},
		{"a property deleted", "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=10", func(p *Properties) { p.Delete("tag") }, "virtio=BC:24:11:00:00:01,bridge=vmbr0"},
		{"the bare value deleted", "images:1,size=8G", func(p *Properties) { p.Delete("") }, "size=8G"},
		{"all occurrences deleted", "a=1,b=2,a=3", func(p *Properties) { p.Delete("a") }, "b=2"},
		{"an absent one deleted", "a=1", func(p *Properties) { p.Delete("z") }, "a=1"},
		{"a value with the sign in it", "script=a=b,x=1", func(p *Properties) { p.Set("x", "2") }, "script=a=b,x=2"},
		{"the first property", "", func(p *Properties) { p.Set("node", "pve1"); p.Set("path", "0000:03:00.0") }, "node=pve1,path=0000:03:00.0"},
		{"empty pieces", "a=1,,=x,", func(*Properties) {}, "a=1,,=x,"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := ParseProperties(tt.in)
			tt.do(&p)
			if got := p.String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPropertiesAreFoundByAnyOfTheirNames(t *testing.T) {
	for in, want := range map[string]string{"0000:3b:00,pcie=1": "0000:3b:00", "pcie=1,host=0000:3b:00": "0000:3b:00"} {
		if got, ok := ParseProperties(in).Get("host", ""); !ok || got != want {
			t.Errorf("%s: %q, %v", in, got, ok)
		}
	}
	if got, ok := ParseProperties("=x,a=1").Get(""); ok {
		t.Errorf("a piece with an empty key is no bare value: %q", got)
	}
	if _, ok := (Properties{}).Get("host", ""); ok {
		t.Error("there is nothing to find")
	}
}

func TestCopiesOfPropertiesAreIndependent(t *testing.T) {
	original := ParseProperties("a=1,b=2,c=3")
	for name, change := range map[string]func(*Properties){
		"set":    func(p *Properties) { p.Set("a", "9") },
		"append": func(p *Properties) { p.Set("d", "4"); p.Set("e", "5") },
		"delete": func(p *Properties) { p.Delete("a") },
	} {
		copied := original
		change(&copied)
		if original.String() != "a=1,b=2,c=3" || copied.String() == original.String() {
			t.Errorf("%s: original %s, copy %s", name, original, copied)
		}
	}
}

func TestTwoCopiesDoNotShareTheCapacityOfTheirOriginal(t *testing.T) {
	original := ParseProperties("a=1,b=2,z=3")
	original.Delete("z") // leaves room for one more
	x, y := original, original
	x.Set("c", "1")
	y.Set("d", "2")
	if x.String() != "a=1,b=2,c=1" || y.String() != "a=1,b=2,d=2" {
		t.Errorf("%s, %s", x, y)
	}
}

func FuzzProperties(f *testing.F) {
	for _, seed := range []string{
		"", "0000:3b:00.0,pcie=1", "mapping=gpu-b,pcie=1,driver=keep", "virtio=BC:24:11:00:02:24,bridge=vmbr0",
		"node=pve1,path=0000:17:00.0;0000:17:00.1,id=10de:1eb8,iommugroup=20,subsystem-id=10de:12a2", "a,,=,b==", ",",
	} {
		f.Add(seed, "pcie", "1")
		f.Add(seed, "", "x")
	}
	f.Fuzz(func(t *testing.T, s, key, value string) {
		p := ParseProperties(s)
		if got := p.String(); got != s {
			t.Fatalf("%q came back as %q", s, got)
		}
		others := func(p Properties) []property {
			return slices.DeleteFunc(slices.Clone(p.list), func(q property) bool { return q.is(key) })
		}
		before := others(p)
		p.Set(key, value)
		if got, ok := p.Get(key); !ok || got != value {
			t.Fatalf("set %q to %q, got %q, %v", key, value, got, ok)
		}
		if !slices.Equal(before, others(p)) {
			t.Fatalf("setting %q changed others: %v, %v", key, before, others(p))
		}
		// What can be written in the format survives being written and read.
		if !strings.ContainsAny(key, ",=") && !strings.Contains(value, ",") && (key != "" || !strings.Contains(value, "=")) {
			if got, ok := ParseProperties(p.String()).Get(key); (!ok || got != value) && p.String() != "" {
				t.Fatalf("%q: %q came back as %q, %v", p, value, got, ok)
			}
		}
		p.Delete(key)
		if _, ok := p.Get(key); ok || !slices.Equal(before, p.list) {
			t.Fatalf("deleting %q left %v of %v", key, p.list, before)
		}
	})
}
