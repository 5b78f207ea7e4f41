package finding

// EditDistance counts the letters that must be added, taken away, changed or
// swapped with their neighbour to come from a to b: how far a typing error is
// from the word that was meant.
func EditDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	width := len(y) + 1
	rows := make([]int, 3*width) // the last three of the table
	before, above, row := rows[:width], rows[width:2*width], rows[2*width:]
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(x); i++ {
		before, above, row = above, row, before
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(y)]
}
