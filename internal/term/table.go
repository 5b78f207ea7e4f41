package term

import (
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// MaxListed is the maximal number of addresses, storages or other values in a cell.
const MaxListed = 16

// Nothing is printed for an empty value.
const Nothing = "–"

// Blank is a cell that stays empty, because a row above has the same value.
const Blank Text = " "

// Table is a table without borders, with upper-case headers, two spaces between columns
// and no trailing spaces.
type Table struct {
	// Right are the columns whose values are numbers.
	Right []string
	// HideEmpty leaves out the columns in which no row has a value.
	HideEmpty bool

	head []string
	rows [][]Text
	// notes are sentences about rows, by row. They are printed after the last column
	// where they fit, and otherwise below the row.
	notes map[int]string
}

// NewTable returns a table with the names of its columns.
func NewTable(head ...string) *Table { return &Table{head: head, notes: map[int]string{}} }

// AddNoted adds a row and a sentence about it.
func (t *Table) AddNoted(note string, cells ...any) {
	if note != "" {
		t.notes[len(t.rows)] = note
	}
	t.Add(cells...)
}

// Add adds a row. Cells that are not Text are cleaned.
func (t *Table) Add(cells ...any) {
	row := make([]Text, len(cells))
	for i, cell := range cells {
		if row[i] = Cell(cell); row[i] == "" {
			row[i] = Nothing
		}
	}
	t.rows = append(t.rows, row)
}

// Rows is the number of rows.
func (t *Table) Rows() int { return len(t.rows) }

// Table prints a table.
func (p Printer) Table(t *Table) {
	if t.HideEmpty {
		t.dropEmpty()
	}
	below := t.placeNotes(p.Width)
	w := table.NewWriter()
	w.SetStyle(calmStyle())
	w.SuppressTrailingSpaces()
	w.AppendHeader(t.header(p.Paint))
	for _, row := range t.rows {
		cells := make(table.Row, len(row))
		for i, cell := range row {
			cells[i] = string(cell)
		}
		w.AppendRow(cells)
	}
	w.SetColumnConfigs(t.columns(p.Width))
	row := -1 // the first line is the header
	for line := range strings.Lines(w.Render() + "\n") {
		_, _ = io.WriteString(p.Out, strings.TrimRight(line, " \n")+"\n")
		if note := below[row]; note != "" {
			for _, line := range Wrap(note, p.Width-len(noteIndent)) {
				Fprintln(p.Out, p.Paint.Dim(noteIndent+string(line)))
			}
		}
		row++
	}
}

// dropEmpty removes the columns in which no row has a value.
func (t *Table) dropEmpty() {
	for i := len(t.head) - 1; i >= 0; i-- {
		if slices.ContainsFunc(t.rows, func(row []Text) bool { return row[i] != Nothing && row[i] != Blank }) {
			continue
		}
		t.head = slices.Delete(t.head, i, i+1)
		for n := range t.rows {
			t.rows[n] = slices.Delete(t.rows[n], i, i+1)
		}
	}
}

// noteIndent is the indentation of a note below its row.
const noteIndent = "      "

// placeNotes appends notes to their rows where they fit, and returns the others.
func (t *Table) placeNotes(width int) (below map[int]string) {
	before := t.widthBeforeLast()
	last := len(t.head) - 1
	below = map[int]string{}
	for i, note := range t.notes {
		clean := Clean(note)
		if width > 0 && before+wide(t.rows[i][last])+len(noteGap)+wide(clean) > width {
			below[i] = note
			continue
		}
		t.rows[i][last] += noteGap + clean
	}
	return below
}

// noteGap is between a row's last cell and its note.
const noteGap = ": "

func wide(cell Text) int { return text.StringWidthWithoutEscSequences(string(cell)) }

func (t *Table) header(p Paint) table.Row {
	out := make(table.Row, len(t.head))
	for i, cell := range t.head {
		out[i] = string(p.Dim(strings.ToUpper(cell)))
	}
	return out
}

func (t *Table) columns(width int) []table.ColumnConfig {
	configs := make([]table.ColumnConfig, len(t.head))
	for i, name := range t.head {
		configs[i] = table.ColumnConfig{Number: i + 1}
		if slices.Contains(t.Right, name) {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	if left := width - t.widthBeforeLast(); len(t.notes) == 0 && width > 0 && left >= Narrowest {
		last := &configs[len(configs)-1]
		last.WidthMax = left
		last.WidthMaxEnforcer = text.WrapSoft
	}
	return configs
}

// widthBeforeLast returns the width of all columns before the last one, with gaps.
func (t *Table) widthBeforeLast() int {
	sum := 0
	for i := range len(t.head) - 1 {
		widest := wide(Text(t.head[i]))
		for _, row := range t.rows {
			widest = max(widest, wide(row[i]))
		}
		sum += widest + len(gap)
	}
	return sum
}

// gap is the space between columns.
const gap = "  "

func calmStyle() table.Style {
	style := table.StyleDefault
	style.Box.PaddingLeft = ""
	style.Box.PaddingRight = gap
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatDefault
	return style
}
