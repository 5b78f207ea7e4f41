package capture

import (
	"cmp"
	"strings"
)

// natural compares names in natural order: host2 before host10. Pseudonyms are numbered
// in this order.
func natural(a, b string) int {
	left, right := a, b
	for left != "" && right != "" {
		x, y := chunk(left), chunk(right)
		if digit(x[0]) && digit(y[0]) {
			if order := compareNumbers(x, y); order != 0 {
				return order
			}
		} else if order := strings.Compare(x, y); order != 0 {
			return order
		}
		left, right = left[len(x):], right[len(y):]
	}
	return cmp.Or(cmp.Compare(len(left), len(right)), strings.Compare(a, b))
}

// compareNumbers compares digits of any length by their value.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// chunk is the first run of digits, or of other characters.
func chunk(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool { return (r >= '0' && r <= '9') != digit(text[0]) })
	if end < 0 {
		return text
	}
	return text[:end]
}

func digit(b byte) bool { return b >= '0' && b <= '9' }
