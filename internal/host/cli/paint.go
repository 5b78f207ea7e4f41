package cli

import (
	"strconv"

	"github.com/gpuworker/gpuworker/internal/finding"
)

// paint colours text on a terminal. Colour only ever repeats what the words say.
type paint struct {
	begin string // how colours begin for the writer that knows them as ours; "" for none
}

// The colours, as SGR codes.
const (
	bold   = 1
	dim    = 2
	red    = 31
	green  = 32
	yellow = 33
	cyan   = 36
)

func (p paint) as(code int, text string) string {
	if p.begin == "" || text == "" {
		return text
	}
	return p.begin + strconv.Itoa(code) + "m" + text + p.begin + "0m"
}

// mark is a verdict as one sign.
func (p paint) mark(v finding.Verdict) string {
	switch v {
	case finding.Pass:
		return p.as(green, "✓")
	case finding.Fail:
		return p.as(red, "✗")
	case finding.Unknown:
		return p.as(yellow, "?")
	case finding.Info:
	}
	return p.as(dim, "·")
}
