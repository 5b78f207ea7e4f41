package pve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"reflect"
	"regexp"
	"strings"
)

// envelope is the frame of every answer of the API.
type envelope struct {
	HasData bool // the key is present, possibly with null
	Message string
	Errors  map[string]string
}

var errNoFrame = errors.New("the answer is not a JSON object")

// open reads the frame, and its data into a value; the zero Value skips the data.
// Errors in the data are a misfit or errTooMany; any other error means that the body
// is not a JSON object.
func (a *answer) open(into reflect.Value) (frame envelope, err error) {
	r, err := newReader(a.body)
	if err != nil || r.next() != '{' {
		return frame, errNoFrame
	}
	r.at++
	for r.more() {
		if err := r.part(unquoted(r.raw()), &frame, into); err != nil {
			return frame, err
		}
	}
	return frame, nil
}

// part reads one part of the frame. A message or errors of an unexpected shape are
// ignored.
func (r *reader) part(key string, frame *envelope, into reflect.Value) error {
	switch key {
	case "data":
		frame.HasData = true
		if into.IsValid() {
			return below("data", r.value(into))
		}
		r.raw()
	case "message":
		_ = decode(r.raw(), &frame.Message)
	case "errors":
		_ = decode(r.raw(), &frame.Errors)
	default:
		r.raw()
	}
	return nil
}

// parse decodes the data of a successful answer into a value. The value is changed
// only if all of the data can be decoded; nil accepts any data.
func (a *answer) parse(c *call, into any) error {
	err := wholly(into, func(dst reflect.Value) error {
		frame, err := a.open(dst)
		if err == nil && !frame.HasData {
			return errNoFrame
		}
		return err
	})
	if err == nil {
		return nil
	}
	e := c.fail(Unavailable, a.notTheAPI(), nil)
	if errors.As(err, new(misfit)) || errors.Is(err, errTooMany) {
		e = c.fail(Unknown, "cannot read the answer: "+err.Error(), err)
	}
	e.Status, e.Reason = a.status, clip(a.reason, maxText)
	e.Ambiguous = !c.reads()
	return e
}

// failure returns the error for an answer that is not 2xx.
func (a *answer) failure(c *call) *Error {
	e := c.fail(Unknown, "", nil)
	e.Status, e.Reason = a.status, clip(a.reason, maxText)
	frame, notJSON := a.open(reflect.Value{})
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
		e.Message = a.message(frame, notJSON == nil)
		e.describe()
	}
	if c.clones {
		e.idInUseIfLocked(c.vmid)
	}
	e.passing = passingStatus(a.status)
	// 595 means that no connection to the other node was made.
	e.Ambiguous = (e.passing && a.status != 595 || lostForm.MatchString(e.Message)) && !c.reads()
	return e
}

// perlPlace matches the source position that Perl appends to an error.
var perlPlace = regexp.MustCompile(` at /usr/\S+ line \d+\.?$`)

// message returns the JSON message, or else a plain text body (501 and 506), or else
// the reason phrase.
func (a *answer) message(frame envelope, isJSON bool) string {
	text := strings.TrimSpace(frame.Message)
	if text == "" && !isJSON {
		text = strings.TrimSpace(string(a.body))
	}
	if text == "" || text == "null" {
		text = a.reason
	}
	return perlPlace.ReplaceAllString(clip(text, maxText), "")
}

// Limits for the texts of a server.
const (
	maxText   = 1000 // bytes of a message
	maxParams = 20   // parameters of a 400
)

func (a *answer) isHTML() bool {
	return bytes.HasPrefix(bytes.TrimSpace(a.body), []byte("<"))
}

var titleForm = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)

// notTheAPI describes an answer that is not the expected JSON.
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
		return "the answer is truncated: an incomplete JSON document of " + fmt.Sprint(len(body)) + " bytes"
	case json.Valid(body):
		return `the answer is JSON without "data": is this a Proxmox VE API?`
	default:
		return question + fmt.Sprintf("%q", clip(string(body), 60))
	}
}

// trimmed returns the first messages of a 400, without the line feeds at their ends.
func trimmed(messages map[string]string) map[string]string {
	var kept map[string]string
	if len(messages) > 0 {
		kept = map[string]string{}
	}
	for _, name := range sortedKeys(messages)[:min(len(messages), maxParams)] {
		kept[clip(name, 100)] = clip(strings.TrimSpace(messages[name]), maxText)
	}
	return kept
}
