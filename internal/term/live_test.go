package term

import (
	"bytes"
	"testing"
)

func TestLiveLinesAreDrawnInPlaceBelowNotices(t *testing.T) {
	var out bytes.Buffer
	l := Live{To: NewWriter(&out, nil)}
	l.Draw([]Text{"a ⠋", "b ⠋"})
	l.Draw([]Text{"a ✓\x1b[2J"})
	l.Say("stopping")
	l.Draw([]Text{"a ✓"})
	const clear = "\r\x1b[J"
	want := clear + "a ⠋\nb ⠋\n" + "\x1b[2A" + clear + `a ✓\x1b[2J` + "\n" + "\x1b[1A" + clear + "stopping\n" + clear + "a ✓\n"
	if got := out.String(); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
}
