package cli

import "strconv"

// paint colours text for a terminal, or leaves it alone. Colour only ever
// repeats what the words say.
type paint struct{ on bool }

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
	if !p.on || text == "" {
		return text
	}
	return "\x1b[" + strconv.Itoa(code) + "m" + text + "\x1b[0m"
}

func (p paint) bold(text string) string   { return p.as(bold, text) }
func (p paint) dim(text string) string    { return p.as(dim, text) }
func (p paint) red(text string) string    { return p.as(red, text) }
func (p paint) green(text string) string  { return p.as(green, text) }
func (p paint) yellow(text string) string { return p.as(yellow, text) }
func (p paint) cyan(text string) string   { return p.as(cyan, text) }
