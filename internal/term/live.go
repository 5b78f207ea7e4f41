package term

import (
	"fmt"
	"strings"
)

// Live are lines at the end of a terminal's output that are drawn again and again
// in the same place.
type Live struct {
	To    *Writer
	drawn int // lines on the screen that are ours
}

// Draw puts lines in the place of those drawn before.
func (l *Live) Draw(lines []Text) {
	l.To.repaint(l.drawn, lines)
	l.drawn = len(lines)
}

// Say leaves a text above the lines, which are to be drawn again.
func (l *Live) Say(text Text) {
	l.Draw([]Text{text})
	l.drawn = 0
}

// repaint writes lines in place of the last ones, drawn before: the only way to
// move the cursor.
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
