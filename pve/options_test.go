package pve

import (
	"strings"
	"testing"
)

func TestOptionsAreCheckedBeforeAnythingIsSent(t *testing.T) {
	ok := Options{Endpoint: "https://pve.test:8006", Token: testToken}
	with := func(f func(*Options)) Options {
		o := ok
		f(&o)
		return o
	}
	tests := []struct {
		name string
		o    Options
		text string // of the error; "" when they are fine
	}{
		{"a token", ok, ""},
		{"a password", with(withPassword), ""},
		{"a server on this machine without TLS", with(func(o *Options) { o.Endpoint = "http://127.0.0.1:8006" }), ""},
		{"a transport of one's own", with(func(o *Options) { o.Endpoint, o.Transport = "http://sim", &server{} }), ""},
		{"no endpoint", with(func(o *Options) { o.Endpoint = "" }), "endpoint: write it as https://host:8006"},
		{"a host alone", with(func(o *Options) { o.Endpoint = "pve1" }), "endpoint: write it as https://host:8006"},
		{"a host and a port", with(func(o *Options) { o.Endpoint = "pve1:8006" }), "endpoint: write it as https://host:8006"},
		{"no TLS", with(func(o *Options) { o.Endpoint = "http://pve1:8006" }), `"http://" would send the credentials unencrypted`},
		{"a user in the endpoint", with(func(o *Options) { o.Endpoint = "https://root:x@pve1:8006" }), "must not contain a user or password"},
		{"a query in the endpoint", with(func(o *Options) { o.Endpoint = "https://pve1:8006/?a=b" }), "must not contain a query"},
		{"nobody", with(func(o *Options) { o.Token = "" }), "no credentials"},
		{"a user without a password", with(func(o *Options) { o.Token, o.Username = "", "root@pam" }), "no credentials"},
		{"a user without a realm", with(func(o *Options) { o.Token, o.Username, o.Password = "", "root", "xxxx" }), `username: write it with its realm`},
		{"both", with(func(o *Options) { o.Username = "root@pam" }), "not both"},
		{"a token without its secret", with(func(o *Options) { o.Token = "ops@pve!ci" }), "token: write it as"},
		{"a token without its user", with(func(o *Options) { o.Token = "ci=8d2f1c3a-canary-token-secret" }), "token: write it as"},
		{"a token with what stands before it in the header", with(func(o *Options) { o.Token = "PVEAPIToken=" + testToken }), "token: write it as"},
		{"a token with a line feed", with(func(o *Options) { o.Token = testToken + "\n" }), "token: write it as"},
		{"a fingerprint that is too short", with(func(o *Options) { o.Fingerprint = "12:34" }), `fingerprint: "12:34" is not a SHA-256`},
		{"a fingerprint that is no hex", with(func(o *Options) { o.Fingerprint = strings.Repeat("x", 64) }), "is not a SHA-256"},
		{"a CA file with something else", with(func(o *Options) { o.CAFile = []byte("hello") }), "CA file: it contains no certificate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.o)
			switch {
			case tt.text == "" && err != nil:
				t.Error(err)
			case tt.text != "" && err == nil:
				t.Error("they were taken")
			case tt.text != "":
				mustContain(t, err.Error(), "pve: ", tt.text)
				mustNotLeak(t, "the error", err.Error())
				if KindOf(err) != Invalid {
					t.Errorf("kind %s", KindOf(err))
				}
			}
		})
	}
}

func TestSSHKeysAreEncodedForTheirOption(t *testing.T) {
	key := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKJBEy57+IHpF3+iJMMBWG0YrK2+Oq6v8nHNfa+6u3uZ ops@example"
	// The value that the recorded server took.
	want := "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIKJBEy57%2BIHpF3%2BiJMMBWG0YrK2%2BOq6v8nHNfa%2B6u3uZ%20ops%40example"
	if got := EncodeSSHKeys([]string{key}); got != want {
		t.Errorf("got %q", got)
	}
	if got := EncodeSSHKeys([]string{" a b\n", "", "c"}); got != "a%20b%0Ac" {
		t.Errorf("got %q", got)
	}
}
