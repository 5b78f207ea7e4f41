package pve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
)

// upload is a file on its way: a multipart form whose length is known before
// it is sent, since the server refuses chunks.
type upload struct {
	body        io.Reader
	length      int64
	contentType string
	moved       func() // called whenever some of it was taken
}

// Upload puts a file on a storage, streaming it: content is "iso", "vztmpl" or
// "import", size the exact number of bytes that r will give. The server copies
// the file into place in the returned task, and overwrites silently what has
// the same name; it turns spaces and other characters of the name into "_".
// Needs Datastore.AllocateTemplate on the storage.
//
// An upload takes as long as it moves; it ends when it stands still for
// Options.Timeout, or with the context.
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
		return nil, fmt.Errorf("upload of %q: the size %d is negative", filename, size)
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

// movingReader reports each read, to tell a slow upload from a stuck one.
type movingReader struct {
	io.Reader
	up *upload
}

func (m *movingReader) Read(p []byte) (int, error) {
	m.up.moved()
	return m.Reader.Read(p)
}

var errUploadSize = errors.New("the file has not the size that was said")

// exactReader reads exactly as many bytes as were announced, and fails
// otherwise: a shorter file would leave the server waiting, a longer one would
// be cut.
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
		err = nil // the next read says so
	}
	return n, err
}

// end looks whether there is more.
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
