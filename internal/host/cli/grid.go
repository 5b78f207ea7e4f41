package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// grid is a calm table: two spaces between columns, columns without content are
// left out.
type grid struct{ rows [][]string }

func newGrid(head ...string) *grid { return &grid{rows: [][]string{head}} }

// add adds a row. Cells that others stand behind are not too wide.
func (g *grid) add(cells ...string) {
	for i := range len(cells) - 1 {
		cells[i] = short(cells[i])
	}
	g.rows = append(g.rows, cells)
}

// short is a text of at most the length that one cell of a table may have.
func short(text string) string {
	const most = 120 // characters; names of cards are shorter
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

func (g *grid) write(w io.Writer) {
	widths := make([]int, len(g.rows[0]))
	used := make([]bool, len(widths))
	for n, row := range g.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			used[i] = used[i] || n > 0 && cell != ""
		}
	}
	for n, row := range g.rows {
		line := ""
		for i, cell := range row {
			if !used[i] {
				continue
			}
			if cell == "" && n > 0 && i < 5 {
				cell = "–"
			}
			line += cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}
