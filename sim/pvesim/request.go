package pvesim

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// request is one request in progress.
type request struct {
	ctx    context.Context
	gone   <-chan struct{}
	caller identity
	method string
	path   string
	args   args // path, query and body parameters
	file   *upload
	fault  *fault
}

// upload is the file in a multipart body.
type upload struct {
	size int64
	data []byte               // nil if it is longer than maxKept
	sums map[string]hash.Hash // by algorithm
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

// readArgs collects the parameters of query and body; those of the query have
// precedence. The body is read only after the login is checked, and only up to the
// limit. Uploaded files may have any length.
func (s *Sim) readArgs(in inbound, r *request, c *call) error {
	query, body := args{}, args{}
	if err := parseForm(in.query, query); err != nil {
		return err
	}
	contentType, params, _ := mime.ParseMediaType(in.header.Get("Content-Type"))
	if c != nil && c.upload && contentType == "multipart/form-data" {
		if err := readUpload(multipart.NewReader(in.body, params["boundary"]), body, r); err != nil {
			return err
		}
		r.args = merge(body, query)
		return nil
	}
	raw, err := s.readBody(in, contentType)
	if err != nil {
		return err
	}
	if contentType == "application/json" && in.mayHaveBody() {
		err = parseJSON(raw, body)
	} else {
		err = parseForm(string(raw), body)
	}
	r.args = merge(body, query)
	return err
}

func (in inbound) mayHaveBody() bool { return in.method == "PUT" || in.method == "POST" }

// readBody reads the body of a form or of JSON.
func (s *Sim) readBody(in inbound, contentType string) ([]byte, error) {
	switch {
	case in.body.left == 0:
		return nil, nil
	case !in.mayHaveBody():
		return nil, &plainError{501, fmt.Sprintf("Unexpected content for method '%s'", in.method)}
	case in.body.left > s.maxForm():
		return nil, &plainError{501, "for data too large"}
	case !slices.Contains([]string{"", "application/json", "application/x-www-form-urlencoded"}, contentType):
		return nil, &plainError{506, fmt.Sprintf("upload 'Content-Type '%s' not implemented", in.header.Get("Content-Type"))}
	}
	raw, err := io.ReadAll(in.body)
	if err != nil {
		return nil, errDropped // the client left before the end of the body
	}
	return raw, nil
}

// maxFields is the maximum total length of the fields of an upload, without the file.
const maxFields = 64 << 10

// readUpload reads a multipart body: some fields and one file.
func readUpload(reader *multipart.Reader, into args, r *request) error {
	bad := &apiError{status: 400, reason: "Bad Request", bare: true}
	fieldsLeft := int64(maxFields)
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return bad
		}
		switch name := part.FormName(); {
		case r.file != nil:
			return &apiError{status: 501, reason: "simulator: a field after the file of an upload is not simulated: the real server makes it a part of the file"}
		case name == "filename" && part.FileName() != "":
			if r.file, err = measure(part); err != nil {
				return bad
			}
			into["filename"] = arg{values: []string{part.FileName()}}
		case slices.Contains([]string{"content", "checksum", "checksum-algorithm"}, name) && part.FileName() == "":
			value, err := io.ReadAll(io.LimitReader(part, fieldsLeft+1))
			if fieldsLeft -= int64(len(value)); err != nil || fieldsLeft < 0 || name == "checksum" && !hexForm.Match(value) {
				return bad
			}
			a := into[name]
			a.values = append(a.values, string(value))
			a.array = len(a.values) > 1
			into[name] = a
		default:
			return bad
		}
	}
}

// maxKept is the size of the largest uploaded file whose content is kept.
const maxKept = 16 << 20

// measure reads an uploaded file to its end.
func measure(file io.Reader) (*upload, error) {
	u := &upload{sums: map[string]hash.Hash{"md5": md5.New(), "sha1": sha1.New(), "sha224": sha256.New224(), "sha256": sha256.New(),
		"sha384": sha512.New384(), "sha512": sha512.New()}}
	writers := make([]io.Writer, 0, len(u.sums))
	for _, sum := range u.sums {
		writers = append(writers, sum)
	}
	var err error
	var kept keeper
	u.size, err = io.Copy(io.MultiWriter(append(writers, &kept)...), file)
	if u.size <= maxKept {
		u.data = slices.Concat(append(kept.pieces, []byte{})...)
	}
	return u, err
}

// keeper keeps what is written, up to maxKept.
type keeper struct {
	pieces [][]byte
	size   int
}

// Write implements io.Writer.
func (k *keeper) Write(p []byte) (int, error) {
	if k.size += len(p); k.size > maxKept {
		k.pieces = nil
	} else {
		k.pieces = append(k.pieces, bytes.Clone(p))
	}
	return len(p), nil
}

// checksum of the file, in hexadecimal.
func (u *upload) checksum(algorithm string) string {
	return hex.EncodeToString(u.sums[algorithm].Sum(nil))
}

// body is the body of a request, limited to the declared length.
type body struct {
	from io.Reader
	left int64
}

func newBody(from io.Reader, length int64) *body { return &body{from, max(0, length)} }

// Read implements io.Reader.
func (b *body) Read(into []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.from.Read(into[:min(int64(len(into)), b.left)])
	b.left -= int64(n)
	if errors.Is(err, io.EOF) && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
