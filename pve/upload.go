package pve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"regexp"
)

// upload is the body of an upload: a multipart form. Its length is known before it is
// sent, because the server refuses chunked bodies.
type upload struct {
	body        io.Reader
	length      int64
	contentType string
	moved       func() // called at each read
}

// UploadFile describes a file for Upload.
type UploadFile struct {
	Content string // "iso", "vztmpl" or "import"
	// Name on the storage: letters, digits, ".", "_" and "-". The server would replace
	// others, so they are refused here. An ISO image ends in .iso or .img.
	Name string
	Size int64 // exact number of bytes
	// SHA256 in hexadecimal; the server checks it before it copies the file into place.
	// "" for no check.
	SHA256 string
}

// VolumeID is the id of the uploaded file: "local:iso/seed.iso".
func (f UploadFile) VolumeID(storage string) string { return storage + ":" + f.Content + "/" + f.Name }

var (
	uploadNameForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,255}$`)
	sha256Form     = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
)

func (f UploadFile) check() error {
	switch {
	case f.Size < 0:
		return fmt.Errorf("upload of %q: the size must not be negative, but is %d", f.Name, f.Size)
	case f.Size == 0:
		return fmt.Errorf("upload of %q: the file is empty; Proxmox VE cannot use such a volume", f.Name)
	case !uploadNameForm.MatchString(f.Name):
		return fmt.Errorf("upload of %q: the name may have letters, digits, dots, underscores and hyphens, because the server replaces others", f.Name)
	case f.SHA256 != "" && !sha256Form.MatchString(f.SHA256):
		return fmt.Errorf("upload of %q: %q is no SHA-256 in hexadecimal", f.Name, f.SHA256)
	}
	return nil
}

// Upload streams a file to a storage. The returned task checks it and copies it into
// place. It silently overwrites a file of the same name, in place: a running VM with that
// file as its CD reads the new content. If the copy fails, as on a full storage, the old
// file is gone too. Needs Datastore.AllocateTemplate on the storage.
//
// An upload may take any time as long as it makes progress. It fails after 60 s without
// progress, or when the context ends; a file that was not sent whole leaves nothing.
func (c *Client) Upload(ctx context.Context, node, storage string, file UploadFile, r io.Reader) (Task, error) {
	call := post("/nodes/{}/storage/{}/upload", node, storage).at(node, 0)
	up, err := newUpload(file, r)
	if err != nil {
		return Task{}, call.invalid(err.Error())
	}
	call.upload = up
	return c.start(ctx, call)
}

// newUpload writes the fields before the file, because the server takes all that follows
// the beginning of the file for its content.
func newUpload(f UploadFile, r io.Reader) (*upload, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	var frame bytes.Buffer
	form := multipart.NewWriter(&frame)
	fields := [][2]string{{"content", f.Content}}
	if f.SHA256 != "" {
		fields = append(fields, [2]string{"checksum-algorithm", "sha256"}, [2]string{"checksum", f.SHA256})
	}
	for _, field := range fields {
		if err := form.WriteField(field[0], field[1]); err != nil {
			return nil, err
		}
	}
	if _, err := form.CreateFormFile("filename", f.Name); err != nil {
		return nil, err
	}
	head := bytes.Clone(frame.Bytes())
	frame.Reset()
	if err := form.Close(); err != nil {
		return nil, err
	}
	tail := frame.Bytes()
	up := &upload{
		length:      int64(len(head)) + f.Size + int64(len(tail)),
		contentType: form.FormDataContentType(),
		moved:       func() {},
	}
	file := &exactReader{r: r, left: f.Size, size: f.Size}
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
