package cli

import (
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/gpuworker/gpuworker/internal/term"
)

// maxListed is how many addresses, storages and the like a cell lists.
const maxListed = 16

// nothing stands in an empty cell, so that a row never looks broken.
const nothing = "–"

// grid is a calm table: no borders, upper-case headers, two spaces between
// columns, nothing at the end of lines.
type grid struct {
	head []string
	rows [][]term.Text
	// notes are sentences about rows, by row: behind the last column where that
	// fits, below the row where not.
	notes map[int]string
	// right are the columns, from 0, whose values are numbers.
	right []int
}

func newGrid(head ...string) *grid { return &grid{head: head, notes: map[int]string{}} }

// addNoted adds a row and a sentence about it.
func (g *grid) addNoted(note string, cells ...any) {
	if note != "" {
		g.notes[len(g.rows)] = note
	}
	g.add(cells...)
}

// add adds a row. Cells that are not term.Text are cleaned.
func (g *grid) add(cells ...any) {
	row := make([]term.Text, len(cells))
	for i, cell := range cells {
		if row[i] = term.Cell(cell); row[i] == "" {
			row[i] = nothing
		}
	}
	g.rows = append(g.rows, row)
}

// write prints the table for a terminal of that width; 0 is as wide as it
// takes.
func (g *grid) write(w io.Writer, p term.Paint, width int) {
	below := g.placeNotes(width)
	t := table.NewWriter()
	t.SetStyle(calmStyle())
	t.SuppressTrailingSpaces()
	t.AppendHeader(g.header(p))
	for _, row := range g.rows {
		cells := make(table.Row, len(row))
		for i, cell := range row {
			cells[i] = string(cell)
		}
		t.AppendRow(cells)
	}
	t.SetColumnConfigs(g.columns(width))
	row := -1 // the first line is the header
	for line := range strings.Lines(t.Render() + "\n") {
		_, _ = io.WriteString(w, strings.TrimRight(line, " \n")+"\n")
		if note := below[row]; note != "" {
			for _, line := range term.Wrap(note, width-len(noteIndent)) {
				term.Fprintln(w, p.Dim(noteIndent+string(line)))
			}
		}
		row++
	}
}

// noteIndent is before a note below its row.
const noteIndent = "      "

// placeNotes puts notes behind their rows where they fit, and returns those
// that must go below.
func (g *grid) placeNotes(width int) (below map[int]string) {
	before := g.widthBeforeLast()
	last := len(g.head) - 1
	below = map[int]string{}
	for i, note := range g.notes {
		clean := term.Clean(note)
		if width > 0 && before+wide(g.rows[i][last])+len(noteGap)+wide(clean) > width {
			below[i] = note
			continue
		}
		g.rows[i][last] += noteGap + clean
	}
	return below
}

// noteGap is between a row's last cell and its note.
const noteGap = ": "

func wide(cell term.Text) int { return text.StringWidthWithoutEscSequences(string(cell)) }

func (g *grid) header(p term.Paint) table.Row {
	out := make(table.Row, len(g.head))
	for i, cell := range g.head {
		out[i] = string(p.Dim(strings.ToUpper(cell)))
	}
	return out
}

func (g *grid) columns(width int) []table.ColumnConfig {
	configs := make([]table.ColumnConfig, len(g.head))
	for i := range configs {
		configs[i] = table.ColumnConfig{Number: i + 1}
	}
	for _, i := range g.right {
		configs[i].Align = text.AlignRight
		configs[i].AlignHeader = text.AlignRight
	}
	if left := width - g.widthBeforeLast(); len(g.notes) == 0 && width > 0 && left >= term.Narrowest {
		last := &configs[len(configs)-1]
		last.WidthMax = left
		last.WidthMaxEnforcer = text.WrapSoft
	}
	return configs
}

// widthBeforeLast is what the columns before the last one take, with gaps.
func (g *grid) widthBeforeLast() int {
	sum := 0
	for i := range len(g.head) - 1 {
		widest := wide(term.Text(g.head[i]))
		for _, row := range g.rows {
			widest = max(widest, wide(row[i]))
		}
		sum += widest + len(gap)
	}
	return sum
}

// gap stands between columns.
const gap = "  "

func calmStyle() table.Style {
	style := table.StyleDefault
	style.Box.PaddingLeft = ""
	style.Box.PaddingRight = gap
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatDefault
	return style
}
