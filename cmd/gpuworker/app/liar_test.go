package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// liar is a hypervisor that answers like the real one, except for one text. It is between
// the program and the simulator, because the simulator, like the real server, would not
// accept such texts.
type liar struct {
	next http.RoundTripper

	mu        sync.Mutex
	recording bool
	seenPlace map[place]bool
	seenCall  map[string]bool
	at        place
	failing   string
	text      string
	turn      int // which of several texts in one place are replaced, and how calls fail
	lies      int
}

// place identifies a text of an answer: "GET /nodes/{node}/qemu" and "data[].name".
type place struct{ call, key string }

func (p place) String() string { return p.call + " " + p.key }

func (l *liar) record() {
	l.recording, l.seenPlace, l.seenCall = true, map[place]bool{}, map[string]bool{}
}

func (l *liar) lie(at place, text string, turn int) { l.at, l.text, l.turn = at, text, turn }

func (l *liar) fail(call, text string, turn int) { l.failing, l.text, l.turn = call, text, turn }

// idle are texts that the program does not decode.
var idle = regexp.MustCompile(`cpuinfo|current-kernel|loadavg|boot-info|kversion|bridge_(fd|stp)|families|ssl_fingerprint`)

// places returns all recorded places except idle ones, in order.
func (l *liar) places() []place {
	var all []place
	for p := range l.seenPlace {
		if !idle.MatchString(p.key) {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b place) int { return strings.Compare(a.String(), b.String()) })
	return all
}

func (l *liar) calls() []string {
	var all []string
	for call := range l.seenCall {
		all = append(all, call)
	}
	slices.Sort(all)
	return all
}

// names matches the variable parts of paths.
var names = regexp.MustCompile(`/(pve[0-9]+|[0-9]+|UPID:[^/]+|local|local-lvm|[a-z]+[0-9]*-[^/]*t4|gpu-[^/]*)(/|$)`)

func callOf(request *http.Request) string {
	path := request.URL.Path
	for range 2 { // neighbours share a slash
		path = names.ReplaceAllString(path, "/*$2")
	}
	return request.Method + " " + strings.TrimPrefix(path, "/api2/json")
}

func (l *liar) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := l.next.RoundTrip(request)
	call := callOf(request)
	if err != nil || !l.recording && call != l.at.call && call != l.failing {
		return answer, err
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.recording {
		l.seenCall[call] = true
	}
	if call == l.failing && l.failing != "" {
		return l.failure(request), nil
	}
	var value any
	if json.Unmarshal(body, &value) == nil {
		value = l.walk(value, place{call: call}, new(int))
		if body, err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	answer.ContentLength = int64(len(body))
	answer.Header.Del("Content-Length")
	return answer, nil
}

// walk records the texts of a value, or replaces some texts at the place of the lie.
func (l *liar) walk(value any, at place, nth *int) any {
	switch v := value.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			v[key] = l.walk(v[key], place{at.call, at.key + "." + key}, nth)
		}
	case []any:
		for i := range v {
			element := "[]"
			if option, ok := v[i].(map[string]any); ok && option["key"] != nil { // a VM's options
				element = fmt.Sprintf("[%s]", option["key"])
			}
			v[i] = l.walk(v[i], place{at.call, at.key + element}, nth)
		}
	case string:
		if l.recording {
			l.seenPlace[at] = true
		}
		if at != l.at {
			break
		}
		if *nth++; (*nth+l.turn)%2 == 0 || *nth == 1 {
			l.lies++
			if l.turn%3 == 0 {
				return v + l.text
			}
			return l.text
		}
	}
	return value
}

// failure is an error answer, in the forms that servers and proxies use.
func (l *liar) failure(request *http.Request) *http.Response {
	l.lies++
	answer := &http.Response{
		StatusCode: 500, Status: "500 Internal Server Error", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Request: request,
	}
	quoted, err := json.Marshal(l.text)
	if err != nil {
		panic(err)
	}
	body := ""
	switch l.turn % 4 {
	case 0:
		body = fmt.Sprintf(`{"data":null,"message":%s}`, quoted)
	case 1:
		answer.StatusCode, answer.Status = 400, "400 Parameter verification failed."
		body = fmt.Sprintf(`{"data":null,"message":"Parameter verification failed.\n","errors":{"net0":%s,%s:"x"}}`, quoted, quoted)
	case 2:
		answer.Status = "500 " + l.text
		body = `{"data":null}`
	case 3:
		answer.StatusCode, answer.Status = 502, "502 Bad Gateway"
		body = "<html><head><title>" + l.text + "</title></head></html>"
	}
	answer.Body = io.NopCloser(strings.NewReader(body))
	return answer
}
