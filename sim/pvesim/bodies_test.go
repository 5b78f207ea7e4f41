package pvesim

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// endless is a body without end that counts the read bytes.
type endless struct{ read int64 }

func (e *endless) Read(into []byte) (int, error) {
	clear(into)
	e.read += int64(len(into))
	return len(into), nil
}

// sent sends a request with an endless body and a declared length to the simulator.
func sent(s *Sim, method, path, contentType string, length int64, header ...string) (status int, reason string, read int64) {
	from := &endless{}
	r := httptest.NewRequest(method, "/api2/json"+path, from)
	r.ContentLength = length
	r.Header.Set("Content-Type", contentType)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String(), from.read
}

func TestNoBodyIsReadWithoutBound(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		const huge, form = 4 << 30, "application/x-www-form-urlencoded"
		login := []string{"Authorization", "PVEAPIToken=" + engineToken}
		for name, tc := range map[string]struct {
			method, path, kind string
			length             int64
			header             []string
			status             int
			text               string
		}{
			"a login":                     {"POST", "/access/ticket", form, huge, nil, 501, "for data too large"},
			"a login as JSON":             {"POST", "/access/ticket", "application/json", huge, nil, 501, "for data too large"},
			"a login in parts":            {"POST", "/access/ticket", "multipart/form-data; boundary=x", 1 << 10, nil, 506, "upload 'Content-Type 'multipart/form-data; boundary=x' not implemented"},
			"without credentials":         {"PUT", "/nodes/pve1/qemu/100/config", form, 1 << 10, nil, 401, ""},
			"an upload without":           {"POST", "/nodes/pve1/storage/local/upload", "multipart/form-data; boundary=x", huge, nil, 401, ""},
			"a change":                    {"PUT", "/nodes/pve1/qemu/100/config", form, huge, login, 501, "for data too large"},
			"a change in parts":           {"PUT", "/nodes/pve1/qemu/100/config", "multipart/form-data; boundary=x", huge, login, 501, "for data too large"},
			"where none is":               {"DELETE", "/nodes/pve1/qemu/100", form, huge, login, 501, "Unexpected content for method 'DELETE'"},
			"a call that is not there":    {"POST", "/nope", form, huge, login, 501, "for data too large"},
			"a method that is not there":  {"PATCH", "/version", form, huge, login, 501, ""},
			"what is not below /api2 too": {"POST", "/../../../x", form, huge, login, 501, ""},
		} {
			status, text, read := sent(sim, tc.method, tc.path, tc.kind, tc.length, tc.header...)
			if status != tc.status || tc.text != "" && text != tc.text || read != 0 {
				t.Errorf("%s: %d %q after %d bytes, want %d %q after none", name, status, text, read, tc.status, tc.text)
			}
		}
		// Up to the limit it is read, and not a byte more.
		status, _, read := sent(sim, "POST", "/access/ticket", form, 512<<10)
		if status == 501 || read < 512<<10 || read > 520<<10 {
			t.Errorf("a login of 512 KiB: %d after %d bytes", status, read)
		}
	})
}

func TestALargeUploadIsNotKept(t *testing.T) {
	const size = 64 << 20
	sim := newSim(t, homelab(t), fast)
	server := httptest.NewServer(sim)
	defer server.Close()
	var head bytes.Buffer
	form := multipart.NewWriter(&head)
	if err := form.WriteField("content", "iso"); err != nil {
		t.Fatal(err)
	}
	if _, err := form.CreateFormFile("filename", "big.iso"); err != nil {
		t.Fatal(err)
	}
	tail := "\r\n--" + form.Boundary() + "--\r\n"
	root := sim.asRoot(t, rootPass)
	req, err := http.NewRequest("POST", server.URL+"/api2/json/nodes/pve1/storage/local/upload",
		io.MultiReader(&head, io.LimitReader(&endless{}, size), strings.NewReader(tail)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header, req.ContentLength = root.header.Clone(), int64(head.Len()+size+len(tail))
	req.Header.Set("Content-Type", form.FormDataContentType())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := (&client{t: t, base: server.URL, http: http.DefaultClient, header: root.header}).send(req)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > size/2 {
		t.Errorf("%d bytes were allocated for an upload of %d", took, size)
	}
	root.done(got, "OK")
	for _, v := range sim.State().Volumes {
		if strings.HasSuffix(v.ID, "big.iso") && v.Size == size {
			return
		}
	}
	t.Error("there is no volume of that size")
}

func TestAClientThatStillSendsSeesWhyItIsRefused(t *testing.T) {
	sim := newSim(t, homelab(t), fast)
	conn, _ := dialed(t, sim)
	fmt.Fprintf(conn, "PUT /api2/json/nodes/pve1/qemu/100/config HTTP/1.1\r\nHost: pve1\r\nAuthorization: PVEAPIToken=%s\r\nContent-Length: %d\r\n\r\n", engineToken, 1<<20)
	go func() { _, _ = io.CopyN(conn, &endless{}, 1<<20) }()
	answer, err := io.ReadAll(conn)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 501 for data too large\r\n") {
		t.Errorf("the answer is %q (%v)", answer, err)
	}
}

func TestALongPathIsNotAnswered(t *testing.T) {
	play(t, func(t *testing.T) {
		c := newSim(t, homelab(t)).as(t, engineToken)
		began := time.Now()
		if got := c.do("GET", "/version", "x", strings.Repeat("x", 64<<10)); got.err == nil {
			t.Errorf("%d %s", got.code, got.reason)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("the connection ended after %v", took)
		}
	})
}
