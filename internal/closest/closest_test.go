package closest

import "testing"

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "acb", 1}, {"abc", "ab", 1}, {"", "abc", 3}, {"kitten", "sitting", 3},
	} {
		if got := Distance(test.a, test.b); got != test.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
		if got := Distance(test.b, test.a); got != test.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", test.b, test.a, got, test.want)
		}
	}
}

func TestTheWordThatWasMeantIsFound(t *testing.T) {
	for word, want := range map[string]string{
		"memroy": "memory", "MEMORY": "memory", "ssh_keys": "sshKeys", "x": "", "": "", "bandwidth": "",
	} {
		if got := To(word, []string{"memory", "cores", "sshKeys"}); got != want {
			t.Errorf("To(%q) is %q, want %q", word, got, want)
		}
	}
}
