package pve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
)

// upload is the body of an upload: a multipart form. Its length is known before it is
// sent, because the server refuses chunked bodies.
type upload struct {
	body        io.Reader
	length      int64
	contentType string
	moved       func() // called at each read
}

// Upload streams a file to a storage. content is "iso", "vztmpl" or "import"; size is
// the exact number of bytes of r. The returned task copies the file into place and
// silently overwrites a file of the same name. The server replaces spaces and some
// other characters of the name by "_". Needs Datastore.AllocateTemplate on the storage.
//
// An upload may take any time as long as it makes progress. It fails after 60 s without
// progress, or when the context ends.
func (c *Client) Upload(ctx context.Context, node, storage, content, filename string, size int64, r io.Reader) (Task, error) {
	call := post("/nodes/{}/storage/{}/upload", node, storage).at(node, 0)
	up, err := newUpload(content, filename, size, r)
	if err != nil {
		return Task{}, call.invalid(err.Error())
	}
	call.upload = up
	return c.start(ctx, call)
}

func newUpload(content, filename string, size int64, r io.Reader) (*upload, error) {
	if size < 0 {
		return nil, fmt.Errorf("upload of %q: the size must not be negative, but is %d", filename, size)
	}
	var frame bytes.Buffer
	form := multipart.NewWriter(&frame)
	if err := form.WriteField("content", content); err != nil {
		return nil, err
	}
	if _, err := form.CreateFormFile("filename", filename); err != nil {
		return nil, err
	}
	head := bytes.Clone(frame.Bytes())
	frame.Reset()
	if err := form.Close(); err != nil {
		return nil, err
	}
	tail := frame.Bytes()
	up := &upload{
		length:      int64(len(head)) + size + int64(len(tail)),
		contentType: form.FormDataContentType(),
		moved:       func() {},
	}
	file := &exactReader{r: r, left: size, size: size}
	up.body = &movingReader{io.MultiReader(bytes.NewReader(head), file, bytes.NewReader(tail)), up}
	return up, nil
}

// movingReader reports each read, to distinguish a slow upload from a stuck one.
type movingReader struct {
	io.Reader
	up *upload
}

func (m *movingReader) Read(p []byte) (int, error) {
	m.up.moved()
	return m.Reader.Read(p)
}

var errUploadSize = errors.New("the file does not have the declared size")

// exactReader reads exactly the declared number of bytes, and fails otherwise. With a
// shorter file the server would wait; a longer file would be truncated.
type exactReader struct {
	r          io.Reader
	left, size int64
}

func (x *exactReader) Read(p []byte) (int, error) {
	if x.left == 0 {
		return 0, x.end()
	}
	n, err := x.r.Read(p[:min(int64(len(p)), x.left)])
	x.left -= int64(n)
	if err == io.EOF && x.left > 0 {
		return n, fmt.Errorf("%w: it ended after %d of %d bytes", errUploadSize, x.size-x.left, x.size)
	}
	if err == io.EOF {
		err = nil // the next read returns EOF
	}
	return n, err
}

// end returns EOF, or an error if the file is longer than declared.
func (x *exactReader) end() error {
	n, err := io.ReadFull(x.r, make([]byte, 1))
	if n > 0 {
		return fmt.Errorf("%w: it is longer than %d bytes", errUploadSize, x.size)
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}
