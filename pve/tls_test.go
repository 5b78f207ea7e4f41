package pve

import (
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"
)

func tlsServer(t *testing.T) (*httptest.Server, *server) {
	t.Helper()
	s := &server{answer: inTurn(says(`{"version":"9.1.4"}`))}
	ts := httptest.NewUnstartedServer(s)
	ts.Config.ErrorLog = log.New(io.Discard, "", 0)
	ts.StartTLS()
	t.Cleanup(ts.Close)
	return ts, s
}

func TestTheCertificateOfTheServerIsVerified(t *testing.T) {
	ts, s := tlsServer(t)
	right := formatFingerprint(sha256.Sum256(ts.Certificate().Raw))
	wrong := strings.Repeat("AB:", 31) + "AB"
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ts.Certificate().Raw})

	tests := []struct {
		name string
		set  func(*Options)
		text []string // of the error; none when the call succeeds
	}{
		{"by the right fingerprint", func(o *Options) { o.Fingerprint = right }, nil},
		{"by the fingerprint in other letters", func(o *Options) { o.Fingerprint = strings.ToLower(strings.ReplaceAll(right, ":", "")) }, nil},
		{"by its CA in a file", func(o *Options) { o.CAFile = ca }, nil},
		{"or not at all when that is wanted", func(o *Options) { o.Insecure = true }, nil},
		{
			"and a wrong fingerprint is named beside the right one", func(o *Options) { o.Fingerprint = wrong },
			[]string{"expected SHA-256 fingerprint " + wrong, "seen " + right, "pvenode cert info"},
		},
		{
			"a fingerprint counts more than Insecure", func(o *Options) { o.Fingerprint, o.Insecure = wrong, true },
			[]string{"not the pinned one"},
		},
		{
			"an unknown authority is explained", func(*Options) {},
			[]string{"cannot be trusted", "unknown authority", "pin its SHA-256 fingerprint " + right},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Endpoint: ts.URL, Token: testToken}
			tt.set(&o)
			c, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			before := len(s.requests())
			_, err = c.Version(context.Background())
			if tt.text == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e := mustError(t, err)
			mustContain(t, e.Error(), tt.text...)
			if e.Kind != Untrusted || len(s.requests()) != before {
				t.Errorf("kind %s, and the server saw %d requests", e.Kind, len(s.requests())-before)
			}
			if err := c.DeleteMapping(context.Background(), "m"); KindOf(err) != Untrusted || mustError(t, err).Ambiguous {
				t.Errorf("a write to such a server was not sent: %v", err)
			}
		})
	}
}

func TestAPinMismatchCanBeFoundInTheChain(t *testing.T) {
	ts, _ := tlsServer(t)
	c, err := New(Options{Endpoint: ts.URL, Token: testToken, Fingerprint: strings.Repeat("00", 32)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Version(context.Background())
	var pin *pinError
	if !errors.As(err, &pin) || pin.seen != formatFingerprint(sha256.Sum256(ts.Certificate().Raw)) {
		t.Errorf("%v", err)
	}
}
