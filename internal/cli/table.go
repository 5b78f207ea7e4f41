package cli

import (
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// nothing stands in an empty cell, so that a row never looks broken.
const nothing = "–"

// grid is a calm table: no borders, upper-case headers, two spaces between
// columns, nothing at the end of lines.
type grid struct {
	head []string
	rows [][]string
	// right are the columns, from 0, whose values are numbers.
	right []int
}

// lowestLastColumn is the narrowest that the last column is wrapped to: below
// that a wrapped sentence is harder to read than a line that is too long.
const lowestLastColumn = 24

func newGrid(head ...string) *grid { return &grid{head: head} }

func (g *grid) add(cells ...string) {
	for i, cell := range cells {
		if cell == "" {
			cells[i] = nothing
		}
	}
	g.rows = append(g.rows, cells)
}

// write prints the table. The last column is wrapped to width; 0 wraps nothing.
func (g *grid) write(w io.Writer, p paint, width int) {
	t := table.NewWriter()
	t.SetStyle(calmStyle())
	t.SuppressTrailingSpaces()
	t.AppendHeader(g.cells(g.head, p.dim))
	for _, row := range g.rows {
		t.AppendRow(g.cells(row, nil))
	}
	t.SetColumnConfigs(g.columns(width))
	for line := range strings.Lines(t.Render() + "\n") {
		_, _ = io.WriteString(w, strings.TrimRight(line, " \n")+"\n")
	}
}

func (g *grid) cells(row []string, style func(string) string) table.Row {
	out := make(table.Row, len(row))
	for i, cell := range row {
		if style != nil {
			cell = style(strings.ToUpper(cell))
		}
		out[i] = cell
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
	if room := width - g.widthBeforeLast(); width > 0 && room >= lowestLastColumn {
		last := &configs[len(configs)-1]
		last.WidthMax = room
		last.WidthMaxEnforcer = text.WrapSoft
	}
	return configs
}

// widthBeforeLast is what the columns before the last one take, with gaps.
func (g *grid) widthBeforeLast() int {
	sum := 0
	for i := range len(g.head) - 1 {
		widest := text.StringWidthWithoutEscSequences(g.head[i])
		for _, row := range g.rows {
			widest = max(widest, text.StringWidthWithoutEscSequences(row[i]))
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
