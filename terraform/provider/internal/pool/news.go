package pool

import (
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/gpuworker/gpuworker/internal/phrase"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
)

// news are messages about workers: one message for all workers that it is about.
type news struct {
	messages []*message
	last     *message
}

type message struct {
	warning           bool
	at                path.Path
	summary, why, fix string
	names, more       []string // more are further lines
}

// warn adds a warning about workers. Without a reason, each name is a line of its own.
func (n *news) warn(summary, why, fix string, names ...string) {
	n.add(message{warning: true, at: path.Empty(), summary: summary, why: why, fix: fix}, names)
}

// fail adds an error about workers, at an attribute.
func (n *news) fail(at path.Path, summary, why, fix string, names ...string) {
	n.add(message{at: at, summary: summary, why: why, fix: fix}, names)
}

// add adds the names to an equal message, or adds the message.
func (n *news) add(m message, names []string) {
	at := slices.IndexFunc(n.messages, func(o *message) bool {
		return o.warning == m.warning && o.at.Equal(m.at) && o.summary == m.summary && o.why == m.why && o.fix == m.fix
	})
	if at < 0 {
		at = len(n.messages)
		n.messages = append(n.messages, &m)
	}
	n.last = n.messages[at]
	n.last.names = append(n.last.names, names...)
}

// also adds a line to the message that was last added, or to which names were added.
func (n *news) also(line string) { n.last.more = append(n.last.more, line) }

// most is how many lines of a list a warning shows.
const most = 20

func (m *message) detail() string {
	text := strings.Join(m.names, ", ") + ": " + m.why
	switch {
	case m.why == "":
		text = phrase.First(m.names, most, "\n")
	case strings.Contains(m.why, "\n"):
		text = strings.Join(m.names, ", ") + ":\n" + m.why
	}
	more := strings.Join(m.more, "\n")
	if m.warning {
		more = phrase.First(m.more, most, "\n")
	}
	return strings.TrimSuffix(diags.Detail(text, m.fix)+"\n"+diags.Detail(more, ""), "\n")
}

// tell adds all messages as diagnostics. Warnings with the same summary are one: of
// several, Terraform would show only the first.
func (n *news) tell(to *diag.Diagnostics) {
	told := map[string]bool{}
	for _, m := range n.messages {
		switch {
		case m.warning && !told[m.summary]:
			told[m.summary] = true
			var details []string
			for _, other := range n.messages {
				if other.warning && other.summary == m.summary {
					details = append(details, other.detail())
				}
			}
			to.AddWarning(m.summary, strings.Join(details, "\n"))
		case m.warning:
		case m.at.Equal(path.Empty()):
			to.AddError(m.summary, m.detail())
		default:
			to.AddAttributeError(m.at, m.summary, m.detail())
		}
	}
}
