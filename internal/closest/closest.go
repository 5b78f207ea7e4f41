// Package closest finds the word that was meant by a mistyped one.
package closest

import "strings"

// longestWord is the length, in bytes, beyond which a text is not a mistyped word.
const longestWord = 40

// To returns the candidate that word most likely means: it differs in case, hyphens and
// underscores, or in a few letters. "" when no candidate is close.
func To(word string, candidates []string) string {
	if len(word) > longestWord {
		return ""
	}
	bare := Bare(word)
	best, fewest := "", 1+len(bare)/4
	for _, candidate := range candidates {
		if distance := Distance(bare, Bare(candidate)); distance < fewest || distance == fewest && best == "" {
			best, fewest = candidate, distance
		}
	}
	return best
}

// Bare is a name without case and word separators.
func Bare(name string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "").Replace(name))
}

// Distance counts the letters that must be added, removed, changed or swapped with the
// next one to turn a into b (optimal string alignment).
func Distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	width := len(y) + 1
	rows := make([]int, 3*width) // the last three rows of the table
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
