package phrase

import "testing"

func TestSizes(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0 MiB", 512 * mib: "512 MiB", gib: "1 GiB", gib + gib/2: "1.5 GiB", 9*gib + gib/4: "9.2 GiB", 41*gib + gib/4: "41 GiB", 128 * gib: "128 GiB",
	} {
		if got := Bytes(bytes); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", bytes, got, want)
		}
	}
}

func TestSeveralNamesAreAFew(t *testing.T) {
	for want, names := range map[string][]string{
		"": nil, "a": {"a"}, "a, b, c, d": {"a", "b", "c", "d"}, "a, b, c and 2 more": {"a", "b", "c", "d", "e"},
	} {
		if got := Several(names); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
