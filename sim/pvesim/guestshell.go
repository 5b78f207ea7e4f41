package pvesim

import (
	"fmt"
	"strconv"
	"strings"
)

// A very small shell, for sh -c SCRIPT NAME ARG…: simple commands with quotes, $0 to $9,
// "$@", > and >>, joined by &&, ; or line feeds. Everything else is refused.

// shellCommand is one simple command of a script.
type shellCommand struct {
	words   []string
	into    string // file for the output; "" for none
	append  bool
	andThen bool // only if the one before succeeded
}

func shellProgram(s *Sim, v *vm, call GuestCall) (GuestResult, error) {
	args := call.Command[1:]
	if len(args) == 1 && !strings.HasPrefix(args[0], "-") {
		return s.shellFile(v, args[0])
	}
	if len(args) > 0 && args[0] == "-ec" || len(args) > 0 && args[0] == "-euc" {
		args = append([]string{"-c"}, args[1:]...)
	}
	if len(args) < 2 || args[0] != "-c" {
		return GuestResult{}, notSimulated("a shell in a guest other than sh -c")
	}
	commands, err := parseShell(args[1], args[2:])
	if err != nil {
		return GuestResult{}, notSimulated("the script of a shell in a guest (%v)", err)
	}
	all := GuestResult{}
	stops := strings.Contains(call.Command[1], "e")
	for _, c := range commands {
		if c.andThen && all.ExitCode != 0 {
			continue
		}
		one, err := s.runProgram(v, GuestCall{VMID: v.id, Command: c.words, Input: call.Input})
		if err != nil {
			return GuestResult{}, err
		}
		if one.Missing {
			one = GuestResult{ExitCode: 127, Err: fmt.Sprintf("sh: 1: %s: not found\n", c.words[0])}
		}
		if c.into != "" {
			if !v.hasDir(c.into[:max(0, strings.LastIndex(c.into, "/"))]) {
				one = GuestResult{ExitCode: 2, Err: fmt.Sprintf("sh: 1: cannot create %s: Directory nonexistent\n", c.into)}
			} else {
				before := ""
				if c.append {
					before = v.files[c.into]
				}
				v.writeFile(c.into, before+one.Out)
				one.Out = ""
			}
		}
		all = GuestResult{ExitCode: one.ExitCode, Out: all.Out + one.Out, Err: all.Err + one.Err, After: all.After + one.After}
		if stops && all.ExitCode != 0 {
			break
		}
	}
	return all, nil
}

// parseShell reads a script; args are $0, $1 and so on.
func parseShell(script string, args []string) ([]shellCommand, error) {
	p := shellParser{text: script, args: args}
	for !p.end() {
		if err := p.step(); err != nil {
			return nil, err
		}
	}
	p.flushWord()
	if err := p.flushCommand(false); err != nil {
		return nil, err
	}
	return p.commands, nil
}

type shellParser struct {
	text     string
	at       int
	args     []string
	word     strings.Builder
	inWord   bool
	redirect string // > or >> before the next word
	now      shellCommand
	commands []shellCommand
}

func (p *shellParser) end() bool { return p.at >= len(p.text) }

// take consumes a token if it comes next.
func (p *shellParser) take(token string) bool {
	if !strings.HasPrefix(p.text[p.at:], token) {
		return false
	}
	p.at += len(token)
	return true
}

func (p *shellParser) step() error {
	switch {
	case p.take(" "), p.take("\t"):
		p.flushWord()
	case p.take("&&"):
		p.flushWord()
		return p.flushCommand(true)
	case p.take(";"), p.take("\n"):
		p.flushWord()
		return p.flushCommand(false)
	case p.take(">>"):
		p.flushWord()
		p.redirect = ">>"
	case p.take(">"):
		p.flushWord()
		p.redirect = ">"
	case p.take("'"):
		inside, rest, closed := strings.Cut(p.text[p.at:], "'")
		if !closed {
			return fmt.Errorf("a quote is not closed")
		}
		p.at = len(p.text) - len(rest)
		p.add(inside)
	case p.take(`"`):
		return p.quoted()
	case p.take("$"):
		return p.variable(false)
	case strings.ContainsRune("|&<`*?[](){}\\#~!", rune(p.text[p.at])):
		return fmt.Errorf("%q is not supported", p.text[p.at])
	default:
		p.add(p.text[p.at : p.at+1])
		p.at++
	}
	return nil
}

// quoted reads up to the closing double quote.
func (p *shellParser) quoted() error {
	p.add("")
	for !p.end() {
		switch {
		case p.take(`"`):
			return nil
		case p.take("$"):
			if err := p.variable(true); err != nil {
				return err
			}
		case p.text[p.at] == '\\' || p.text[p.at] == '`':
			return fmt.Errorf("%q between quotes is not supported", p.text[p.at])
		default:
			p.add(p.text[p.at : p.at+1])
			p.at++
		}
	}
	return fmt.Errorf("a quote is not closed")
}

// variable reads the name after a dollar sign. "$@" is several words.
func (p *shellParser) variable(inQuotes bool) error {
	if p.end() {
		return fmt.Errorf("a variable has no name")
	}
	name := p.text[p.at]
	p.at++
	if name == '@' && inQuotes {
		for i, arg := range p.args[min(1, len(p.args)):] {
			if i > 0 {
				p.flushWord()
			}
			p.add(arg)
		}
		return nil
	}
	n, err := strconv.Atoi(string(name))
	if err != nil || !inQuotes {
		return fmt.Errorf("the variable $%c, or one without quotes, is not supported", name)
	}
	if n < len(p.args) {
		p.add(p.args[n])
	}
	return nil
}

func (p *shellParser) add(text string) {
	p.word.WriteString(text)
	p.inWord = true
}

func (p *shellParser) flushWord() {
	if !p.inWord {
		return
	}
	word := p.word.String()
	p.word.Reset()
	p.inWord = false
	if p.redirect != "" {
		p.now.into, p.now.append, p.redirect = word, p.redirect == ">>", ""
		return
	}
	p.now.words = append(p.now.words, word)
}

// flushCommand ends a command; andThen is about the next one.
func (p *shellParser) flushCommand(andThen bool) error {
	if p.redirect != "" {
		return fmt.Errorf("a redirection has no file")
	}
	if len(p.now.words) > 0 {
		if p.now.words[0] == "" {
			return fmt.Errorf("a command has no name")
		}
		p.commands = append(p.commands, p.now)
	} else if p.now.into != "" {
		return fmt.Errorf("a redirection without a command is not supported")
	}
	p.now = shellCommand{andThen: andThen}
	return nil
}
