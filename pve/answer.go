package pve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"strings"
)

// envelope is the frame of every answer of the API.
type envelope struct {
	Data    any
	HasData bool // there is such a key, if only with null
	Message string
	Errors  map[string]string
}

// open reads the frame; ok is false when the body is no JSON object.
func (a *answer) open() (frame envelope, ok bool) {
	v, err := readJSON(a.body)
	object, isObject := v.(map[string]any)
	if err != nil || !isObject {
		return frame, false
	}
	frame.Data, frame.HasData = object["data"]
	// A message or errors of another shape are of no use to anybody.
	frame.Message, _ = object["message"].(string)
	_ = fill(object["errors"], &frame.Errors)
	return frame, true
}

// parse reads the data of a good answer into a value; nil takes any data.
func (a *answer) parse(c *call, into any) error {
	frame, ok := a.open()
	if !ok || !frame.HasData {
		e := c.fail(Unavailable, a.notTheAPI(), nil)
		e.Status, e.Reason = a.status, a.reason
		e.Ambiguous = !c.reads()
		return e
	}
	if into == nil {
		return nil
	}
	if err := fill(frame.Data, into); err != nil {
		e := c.fail(Unknown, "cannot read the answer: "+err.Error(), err)
		e.Status, e.Reason = a.status, a.reason
		e.Ambiguous = !c.reads()
		return e
	}
	return nil
}

// failure makes the error of an answer that is not 2xx.
func (a *answer) failure(c *call) *Error {
	e := c.fail(Unknown, "", nil)
	e.Status, e.Reason = a.status, a.reason
	frame, isJSON := a.open()
	switch {
	case a.status < 400:
		e.Kind = Unavailable
		e.Message = fmt.Sprintf("redirected to %q: is the endpoint the address of a Proxmox VE API?", clip(a.location, 200))
		e.Ambiguous = !c.reads()
		return e
	case a.isHTML():
		e.Kind, e.Message = Unavailable, a.notTheAPI()
	default:
		e.Params = trimmed(frame.Errors)
		e.Message = a.message(frame, isJSON)
		e.describe()
	}
	if c.clones {
		e.raceForID(c.vmid)
	}
	e.passing = passingStatus(a.status)
	// 595 means that no connection to the other node was made.
	e.Ambiguous = e.passing && a.status != 595 && !c.reads()
	return e
}

// perlPlace is where Perl says that it died; of no use to an operator.
var perlPlace = regexp.MustCompile(` at /usr/\S+ line \d+\.?$`)

// message is the best text there is: the JSON message, a body that is plain
// text (501 and 506), or the reason phrase.
func (a *answer) message(frame envelope, isJSON bool) string {
	text := strings.TrimSpace(frame.Message)
	if text == "" && !isJSON {
		text = clip(strings.TrimSpace(string(a.body)), 500)
	}
	if text == "" || text == "null" {
		text = a.reason
	}
	return perlPlace.ReplaceAllString(text, "")
}

func (a *answer) isHTML() bool {
	return bytes.HasPrefix(bytes.TrimSpace(a.body), []byte("<"))
}

var titleForm = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)

// notTheAPI says what came instead of JSON.
func (a *answer) notTheAPI() string {
	const question = "the answer is not JSON: is this a Proxmox VE API? got "
	body := bytes.TrimSpace(a.body)
	switch {
	case len(body) == 0:
		return "the answer is empty: is this a Proxmox VE API?"
	case a.isHTML():
		if m := titleForm.FindSubmatch(body); m != nil {
			return question + "HTML: " + clip(oneLine(html.UnescapeString(string(m[1]))), 100)
		}
		return question + "HTML"
	case body[0] == '{' && !json.Valid(body):
		return "the answer is cut off: half a JSON document of " + fmt.Sprint(len(body)) + " bytes"
	case json.Valid(body):
		return `the answer is JSON without "data": is this a Proxmox VE API?`
	default:
		return question + fmt.Sprintf("%q", clip(string(body), 60))
	}
}

// trimmed takes the line feeds from the ends of a 400's complaints.
func trimmed(complaints map[string]string) map[string]string {
	for name, text := range complaints {
		complaints[name] = strings.TrimSpace(text)
	}
	return complaints
}
