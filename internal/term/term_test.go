package term

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestCleanEscapesInvisibleCharacters(t *testing.T) {
	for value, want := range map[string]Text{
		"gpu-1 · Tésla 漢字 😀": "gpu-1 · Tésla 漢字 😀",
		"a\nb\tc\rd":         "a b c d",
		"\x1b[31mred\x07":    `\x1b[31mred\x07`,
		"\u009b2J\x7f\x00":   `\x9b2J\x7f\x00`,
		"a\u202eb\u200bc":    `a\u202eb\u200bc`,
		"\ufeff\u2028\u00ad": `\ufeff\u2028\xad`,
		"\U000e0041\ufe0f":   `\U000e0041\ufe0f`,
		"\xffok\xc3":         `\xffok\xc3`,
		"\ufffd":             "\ufffd",
		"a\u00a0b\u3000":     `a\xa0b\u3000`,
		"e\u0301\u20dd":      `e\u0301\u20dd`,
	} {
		if got := Clean(value); got != want {
			t.Errorf("%q is shown as %q, want %q", value, got, want)
		}
	}
}

// harmful reports whether a text can control a terminal, by rules that do not use Shown.
func harmful(text string) bool {
	for _, r := range text {
		switch {
		case r < ' ' && r != '\n' && r != '\t', r >= 0x7f && r < 0xa0, // C0, DEL, C1
			r == 0xad, r == 0x61c, r == 0x180e, r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e,
			r >= 0x2060 && r <= 0x206f, r == 0xfeff, r >= 0xfff9 && r <= 0xfffb, r >= 0xe0000 && r < 0xe1000:
			return true
		}
	}
	return !utf8.ValidString(text)
}

var hostile = rapid.StringOf(rapid.OneOf(
	rapid.Rune(), rapid.RuneFrom([]rune("\x1b[31m\x1b[0m\n\r\t\u009b\u202e\u200b\U000e0001'a ")),
))

func TestCleanIsHarmlessBoundedAndDoneOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := hostile.Draw(t, "value") + string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		once := Clean(value)
		if harmful(string(once)) || strings.ContainsAny(string(once), "\n\t") || len(once) > MaxValue {
			t.Fatalf("%q", once)
		}
		if twice := Clean(string(once)); twice != once {
			t.Fatalf("%q becomes %q", once, twice)
		}
	})
}

func TestLongTextIsCutOff(t *testing.T) {
	long := strings.Repeat("漢", MaxValue)
	if got := Clean(long); len(got) > MaxValue || !strings.HasSuffix(string(got), "漢…") {
		t.Errorf("%d bytes, …%q", len(got), got[len(got)-9:])
	}
	if got := CleanLines(strings.Repeat("x\n", 1_000_000)); len(got) > 8*maxText || !strings.HasSuffix(string(got), "… and 999000 more lines") {
		t.Errorf("%d bytes, …%q", len(got), got[len(got)-30:])
	}
	if got := List(make([]string, 50_000), 16); !strings.HasSuffix(string(got), " … and 49,984 more") {
		t.Errorf("%q", got)
	}
}

func TestSprintfCleansArguments(t *testing.T) {
	type name string
	on := Paint{On: true}
	got := Sprintf("%s|%s|%s|%d|%v|%-4s|%v|%s", "\x1b[1m", on.Red("x\x1b[1m"), name("\x07"), 7, true, "a", []string{"\x1b"}, errors.New("\x1bno"))
	if want := Text(`\x1b[1m|` + "\x1b[31m" + `x\x1b[1m` + "\x1b[0m" + `|\x07|7|true|a   |[\x1b]|\x1bno`); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func written(colour bool, pieces ...string) string {
	var out bytes.Buffer
	w := NewWriter(&out, func() bool { return colour })
	for _, piece := range pieces {
		_, _ = w.Write([]byte(piece))
	}
	w.Flush()
	return out.String()
}

func TestTheWriterPassesOnlyOurColours(t *testing.T) {
	for _, test := range []struct {
		colour    bool
		text, out string
	}{
		{true, "\x1b[31mred\x1b[0m \x1b[8mhidden", "\x1b[31mred\x1b[0m " + `\x1b[8mhidden`},
		{false, "\x1b[31mred", `\x1b[31mred`},
		{true, "\x1b]0;title\x07\u009bm", `\x1b]0;title\x07\x9bm`},
		{true, "a\tb\nc\rd", "a\tb\n" + `c\x0dd`},
	} {
		if got := written(test.colour, test.text); got != test.out {
			t.Errorf("%q is written as %q, want %q", test.text, got, test.out)
		}
	}
}

func TestTheWriterBoundsLinesAndKeepsCharactersWhole(t *testing.T) {
	if got := written(false, "\xe6", "\xbc", "\xa2", "ok\xe6"); got != `漢ok\xe6` {
		t.Errorf("%q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		colour := rapid.Bool().Draw(t, "colour")
		var pieces []string
		for _, piece := range rapid.SliceOfN(hostile, 0, 5).Draw(t, "pieces") {
			pieces = append(pieces, strings.Repeat(piece, rapid.SampledFrom([]int{1, 500}).Draw(t, "times")))
		}
		got := written(colour, pieces...)
		if colour {
			got = stripped(got)
		}
		for line := range strings.Lines(got) {
			if len(line) > MaxLine || harmful(line) {
				t.Fatalf("%d bytes: %q", len(line), line[:min(len(line), 100)])
			}
		}
	})
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestTheWriterKeepsTheFirstError(t *testing.T) {
	w := NewWriter(full{}, nil)
	Fprintf(w, "%d\n", 1)
	if w.Err() == nil {
		t.Error("the error is lost")
	}
}

func TestWrapBreaksNoQuotedArgument(t *testing.T) {
	text := `that worker's card is taken: gpuworker delete 'gpu-2 ; touch /tmp/x it'\''s' and look again: it --has='a b c d e'`
	var lines []string
	for _, line := range Wrap(text, 30) {
		lines = append(lines, string(line))
	}
	want := "that worker's card is taken:|gpuworker delete|'gpu-2 ; touch /tmp/x it'\\''s'|and look again: it|--has='a b c d e'"
	if got := strings.Join(lines, "|"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestWrappingLosesNoWordAndKeepsToTheWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[a-zé→]{1,20}`), 1, 40).Draw(t, "words")
		width := rapid.IntRange(Narrowest, 120).Draw(t, "width")
		lines := Wrap(strings.Join(words, " "), width)
		if got := strings.Fields(string(Lines(lines, 1))); !slices.Equal(got, words) {
			t.Fatalf("words %q became %q", words, got)
		}
		for _, line := range lines {
			if utf8.RuneCountInString(string(line)) > width {
				t.Fatalf("a line of %d characters: %q", utf8.RuneCountInString(string(line)), line)
			}
		}
	})
}

func TestCleanAllCleansACopy(t *testing.T) {
	type inner struct{ Name, hidden string }
	type outer struct {
		Kind  error
		List  []inner
		Map   map[string]*inner
		Array [1]string
		Any   any
		None  *inner
		N     int
	}
	const bad, good = "a\x1b", `a\x1b`
	value := outer{List: []inner{{bad, bad}}, Map: map[string]*inner{bad: {Name: bad}}, Array: [1]string{bad}, Any: bad, N: 7}
	got := CleanAll(&value)
	if got.List[0] != (inner{good, bad}) || got.Map[good] == nil || got.Map[good].Name != good || got.Array[0] != good || got.Any != good || got.N != 7 || got.None != nil {
		t.Errorf("%+v", got)
	}
	if value.List[0].Name != bad || value.Map[bad].Name != bad || value.Array[0] != bad {
		t.Errorf("the value itself was changed: %+v", value)
	}
}
