package cli

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestATableIsAlignedAndHasNothingAtTheEndOfLines(t *testing.T) {
	p := paint{on: true}
	g := newGrid("name", "n", "state")
	g.right = []int{1}
	g.add("a", "7", p.green("ready"))
	g.add("a-long-name", "", "")
	g.addNoted("because", "b", "1000", p.red("blocked"))
	var out strings.Builder
	g.write(&out, paint{}, 0)
	want := "NAME            N  STATE\n" +
		"a               7  ready\n" +
		"a-long-name     –  –\n" +
		"b            1000  blocked: because\n"
	if diff := cmp.Diff(want, stripColours(out.String())); diff != "" {
		t.Error(diff)
	}
}

func TestALongNoteGoesBelowItsRow(t *testing.T) {
	g := newGrid("name", "state")
	g.addNoted("short", "a", "blocked")
	g.addNoted(strings.Repeat("word ", 12), "b", "blocked")
	var out strings.Builder
	g.write(&out, paint{}, 40)
	want := "NAME  STATE\n" +
		"a     blocked: short\n" +
		"b     blocked\n" +
		"      word word word word word word word\n" +
		"      word word word word word\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestWrappingLosesNoWordAndKeepsToTheWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[a-zé→]{1,20}`), 1, 40).Draw(t, "words")
		width := rapid.IntRange(lowestLastColumn, 120).Draw(t, "width")
		lines := wrap(strings.Join(words, " "), width)
		if got := strings.Fields(strings.Join(lines, " ")); !cmp.Equal(got, words) {
			t.Fatalf("words %q became %q", words, got)
		}
		for _, line := range lines {
			if utf8.RuneCountInString(line) > width {
				t.Fatalf("a line of %d characters: %q", utf8.RuneCountInString(line), line)
			}
		}
	})
}
