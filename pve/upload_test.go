package pve

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnUploadIsStreamedWithItsExactLength(t *testing.T) {
	const size = 5 << 20
	data := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	sum := strings.Repeat("0a", 32)
	var field, name, file string
	var length int64
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		length = r.ContentLength
		_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || len(r.TransferEncoding) != 0 {
			t.Errorf("%v, %v", err, r.TransferEncoding)
		}
		parts := multipart.NewReader(r.Body, params["boundary"])
		for {
			p, err := parts.NextPart()
			if err != nil {
				break
			}
			b, _ := io.ReadAll(p)
			if p.FileName() == "" {
				field += p.FormName() + "=" + string(b) + ";"
				continue
			}
			name, file = p.FormName()+"="+p.FileName(), string(b)
		}
		_, _ = io.WriteString(w, `{"data":"UPID:pve1:0009E3A5:0BB5C3F1:68E4F1A2:imgcopy::ops@pve!ci:"}`)
	}))
	defer ts.Close()
	c, err := New(Options{Endpoint: ts.URL, Token: testToken})
	if err != nil {
		t.Fatal(err)
	}
	// A reader of unknown kind, so that nothing but the given size tells the length.
	reader := struct{ io.Reader }{bytes.NewReader(data)}
	task, err := c.Upload(context.Background(), "pve1", "local", UploadFile{Content: "iso", Name: "seed-1.iso", Size: size, SHA256: sum}, reader)
	if err != nil {
		t.Fatal(err)
	}
	if task.UPID.Type != "imgcopy" || field != "content=iso;checksum-algorithm=sha256;checksum="+sum+";" || name != "filename=seed-1.iso" || file != string(data) {
		t.Errorf("task %s, field %q, name %q, %d bytes", task, field, name, len(file))
	}
	if length <= size || length > size+1000 {
		t.Errorf("length %d", length)
	}
}

func TestAnUploadOfTheWrongSizeFails(t *testing.T) {
	tests := []struct {
		name, data, text string
		size             int64
	}{
		{"shorter than said", "abc", "it ended after 3 of 5 bytes", 5},
		{"longer than said", "abcdef", "it is longer than 5 bytes", 5},
		{"negative", "", "the size must not be negative, but is -1", -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
			}))
			defer ts.Close()
			c, err := New(Options{Endpoint: ts.URL, Token: testToken})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Upload(context.Background(), "pve1", "local", UploadFile{Content: "iso", Name: "a.iso", Size: tt.size}, strings.NewReader(tt.data))
			e := mustError(t, err)
			mustContain(t, e.Error(), tt.text)
			if e.Kind != Invalid {
				t.Errorf("kind %s", e.Kind)
			}
		})
	}
}

func TestAReaderThatFailsEndsTheUpload(t *testing.T) {
	broken := errors.New("the disk is on fire")
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer ts.Close()
	c, err := New(Options{Endpoint: ts.URL, Token: testToken})
	if err != nil {
		t.Fatal(err)
	}
	r := io.MultiReader(strings.NewReader("ab"), roughReader{broken})
	_, err = c.Upload(context.Background(), "pve1", "local", UploadFile{Content: "iso", Name: "a.iso", Size: 10}, r)
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

type roughReader struct{ err error }

func (r roughReader) Read([]byte) (int, error) { return 0, r.err }

// slowReader returns one byte after each pause.
type slowReader struct {
	pause time.Duration
	left  int
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(r.pause) // of the bubble's clock
	r.left--
	p[0] = 'x'
	return 1, nil
}

// swallows reads a request's body like a transport, until the context ends.
func swallows(r *http.Request) (*http.Response, error) {
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, r.Body)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return nil, err
		}
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	s := &server{answer: inTurn(says(upid))}
	r.Body = nil
	return s.RoundTrip(r)
}

func TestAnUploadMayBeSlowButMustMakeProgress(t *testing.T) {
	upload := func(ctx context.Context, t *testing.T, pause time.Duration, bytes int) (time.Duration, error) {
		defer time.Sleep(time.Hour) // of the bubble: the reader comes to its end
		start := time.Now()
		c, _ := inProcess(t, nil, through(swallows))
		_, err := c.Upload(ctx, "pve1", "local", UploadFile{Content: "iso", Name: "a.iso", Size: int64(bytes)}, &slowReader{pause, bytes})
		return time.Since(start), err
	}
	t.Run("half an hour in small steps is fine", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if took, err := upload(t.Context(), t, 50*time.Second, 36); err != nil || took != 30*time.Minute {
				t.Errorf("%v after %v", err, took)
			}
		})
	})
	t.Run("a minute without a byte is not", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			took, err := upload(t.Context(), t, 2*time.Minute, 1)
			e := mustError(t, err)
			mustContain(t, e.Error(), "the upload made no progress for 1m0s")
			if e.Kind != Unavailable || took != time.Minute {
				t.Errorf("kind %s after %v", e.Kind, took)
			}
		})
	})
	t.Run("it ends with the context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
			defer cancel()
			took, err := upload(ctx, t, time.Second, 1000)
			if KindOf(err) != Canceled || took != 90*time.Second || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v after %v", err, took)
			}
		})
	})
}

func TestAnUploadIsNotSentTwiceWhenTheTicketIsRefused(t *testing.T) {
	uploads := 0
	c, _ := inProcess(t, func(_ int, s seen) reply {
		if s.path == "/api2/json/access/ticket" {
			return says(`{"ticket":"PVE:root@pam:1::x","CSRFPreventionToken":"1:y"}`)
		}
		uploads++
		return dies(401, "Authentication failed!")
	}, withPassword)
	_, err := c.Upload(context.Background(), "pve1", "local", UploadFile{Content: "iso", Name: "a.iso", Size: 3}, strings.NewReader("abc"))
	if KindOf(err) != Unauthenticated || uploads != 1 {
		t.Errorf("%d uploads: %v", uploads, err)
	}
}
