package hostcli

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

func (g *grid) add(cells ...string) { g.rows = append(g.rows, cells) }

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
