package pvesim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// request is one call under way.
type request struct {
	ctx    context.Context
	gone   <-chan struct{}
	who    identity
	method string
	path   string
	args   args // path, query and body parameters
	file   *upload
	fault  *fault
}

// upload is the file of a multipart body.
type upload struct {
	name string
	data []byte
}

func (r *request) node() string { return r.args.get("node") }
func (r *request) vmid() int    { return r.args.number("vmid", 0) }

// parseForm reads a query or a form body; ";" separates like "&".
func parseForm(text string, into args) error {
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return die("simulator: cannot decode parameter %q: %v", part, err)
		}
		value, err = url.QueryUnescape(value)
		if err != nil {
			return die("simulator: cannot decode parameter %q: %v", part, err)
		}
		a := into[name]
		a.values = append(a.values, value)
		a.array = len(a.values) > 1
		into[name] = a
	}
	return nil
}

// parseJSON reads a JSON body: an object, or nothing at all.
func parseJSON(body []byte, into args) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		text := `malformed JSON string, neither tag, array, object, number, string or atom, at character offset 0 (before "(end of string)")`
		if len(body) > 0 {
			text = "malformed JSON string: " + err.Error()
		}
		return &plainError{500, text + "\n"}
	}
	object, _ := value.(map[string]any)
	for name, v := range object {
		into[name] = jsonArg(v)
	}
	return nil
}

func jsonArg(value any) arg {
	switch v := value.(type) {
	case nil:
		return arg{null: true}
	case bool:
		if v {
			return arg{values: []string{"1"}}
		}
		return arg{values: []string{"0"}}
	case []any:
		a := arg{array: true}
		for _, e := range v {
			a.values = append(a.values, jsonArg(e).values...)
		}
		return a
	case map[string]any:
		return arg{values: []string{"HASH"}}
	}
	return arg{values: []string{fmt.Sprint(value)}}
}

// plainError is an error sent as text, without content type.
type plainError struct {
	status int
	text   string
}

func (e *plainError) Error() string { return e.text }

var hexForm = regexp.MustCompile(`^[0-9a-fA-F]+$`)

// readArgs collects the parameters of query and body; those of the query win.
func readArgs(in inbound, r *request, maxForm int) error {
	query := args{}
	if err := parseForm(in.query, query); err != nil {
		return err
	}
	body := args{}
	contentType, params, _ := mime.ParseMediaType(in.header.Get("Content-Type"))
	hasBody := len(in.body) > 0
	switch {
	case in.method == "GET" || in.method == "DELETE":
		if hasBody {
			return &plainError{501, fmt.Sprintf("Unexpected content for method '%s'", in.method)}
		}
	case contentType == "multipart/form-data":
		if err := readMultipart(in.body, params["boundary"], body, r); err != nil {
			return err
		}
	case len(in.body) > maxForm:
		return &plainError{501, "for data too large"}
	case contentType == "application/json":
		if err := parseJSON(in.body, body); err != nil {
			return err
		}
	case hasBody && contentType != "" && contentType != "application/x-www-form-urlencoded":
		return &plainError{506, fmt.Sprintf("upload 'Content-Type '%s' not implemented", in.header.Get("Content-Type"))}
	default:
		if err := parseForm(string(in.body), body); err != nil {
			return err
		}
	}
	r.args = merge(body, query)
	return nil
}

func readMultipart(body []byte, boundary string, into args, r *request) error {
	reader := multipart.NewReader(bytes.NewReader(body), boundary)
	form, err := reader.ReadForm(int64(len(body)) + 1)
	if err != nil {
		return &apiError{status: 400, reason: "Bad Request", bare: true}
	}
	// The form is in memory, so there are no files to remove.
	for name, values := range form.Value {
		known := slices.Contains([]string{"content", "checksum", "checksum-algorithm"}, name)
		if !known || name == "checksum" && !hexForm.MatchString(values[0]) {
			return &apiError{status: 400, reason: "Bad Request", bare: true}
		}
		into[name] = arg{values: values, array: len(values) > 1}
	}
	for name, files := range form.File {
		if name != "filename" || len(files) != 1 {
			return &apiError{status: 400, reason: "Bad Request", bare: true}
		}
		file, err := files[0].Open()
		if err != nil {
			return die("simulator: cannot read the uploaded file: %v", err)
		}
		data, err := io.ReadAll(file)
		if err != nil {
			return die("simulator: cannot read the uploaded file: %v", err)
		}
		r.file = &upload{name: files[0].Filename, data: data}
		into["filename"] = arg{values: []string{files[0].Filename}}
	}
	return nil
}
