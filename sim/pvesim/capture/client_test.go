package capture

import (
	"net/http"
	"strings"
	"testing"
)

// sent counts the requests that are sent.
type sent int

func (s *sent) RoundTrip(*http.Request) (*http.Response, error) {
	*s++
	return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
}

func TestNothingButReadsGetsThroughTheTransport(t *testing.T) {
	var through sent
	c, err := newClient(Options{Endpoint: "https://pve1", Token: "a@pve!b=c", Transport: &through})
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"} {
		request, err := http.NewRequestWithContext(t.Context(), method, c.base+"/api2/json/nodes/pve1/qemu/100/status/stop", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := c.http.Do(request); err == nil || !strings.Contains(err.Error(), "capture only reads") {
			t.Errorf("%s: got %v, %v", method, response, err)
		}
	}
	body, err := http.NewRequestWithContext(t.Context(), "GET", c.base+"/api2/json/version", strings.NewReader("a=b"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.http.Do(body); err == nil {
		t.Error("a GET with a body got through")
	}
	if through != 0 {
		t.Errorf("%d requests got through", through)
	}
	plain, err := http.NewRequestWithContext(t.Context(), "GET", c.base+"/api2/json/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.http.Do(plain); err != nil || through != 1 {
		t.Errorf("a GET: %v, %d got through", err, through)
	}
}
