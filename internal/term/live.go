package term

import (
	"fmt"
	"strings"
)

// Live draws lines at the end of a terminal's output repeatedly in the same place.
type Live struct {
	To    *Writer
	drawn int // number of lines that were drawn last
}

// Draw replaces the lines that were drawn before.
func (l *Live) Draw(lines []Text) {
	l.To.repaint(l.drawn, lines)
	l.drawn = len(lines)
}

// Say prints a text in place of the lines, which must be drawn again below it.
func (l *Live) Say(text Text) {
	l.Draw([]Text{text})
	l.drawn = 0
}

// repaint writes lines over the last ones. It is the only way to move the cursor.
func (w *Writer) repaint(drawn int, lines []Text) {
	w.mu.Lock()
	defer w.mu.Unlock()
	up := ""
	if drawn > 0 {
		up = fmt.Sprintf("\x1b[%dA", drawn)
	}
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(w.guarded(string(line) + "\n"))
	}
	_ = w.write(up + "\r\x1b[J" + b.String())
}
