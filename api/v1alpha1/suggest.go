package v1alpha1

import "strings"

// nearest returns the candidate that word was most likely meant to be, "" when
// none is near: the same but for case, hyphens and underscores, or a few
// letters away.
func nearest(word string, candidates []string) string {
	const longest = 40 // longer words are not slips of the finger
	if len(word) > longest {
		return ""
	}
	plain := bare(word)
	best, fewest := "", 1+len(plain)/4
	for _, candidate := range candidates {
		if distance := editDistance(plain, bare(candidate)); distance < fewest || distance == fewest && best == "" {
			best, fewest = candidate, distance
		}
	}
	return best
}

// bare is a name without case and word separators.
func bare(name string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "").Replace(name))
}

// editDistance counts the letters to insert, delete, change or swap with their
// neighbour to make b from a.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			rows[i][j] = min(change, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
