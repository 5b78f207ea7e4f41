package pve

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Options say which server to talk to and as whom. Give either a Token or a
// Username and a Password.
//
// Printed or logged, Options show the endpoint and the user, never a secret.
type Options struct {
	// Endpoint is the address of any node of the cluster, "https://pve1:8006".
	// It may have a path, for a reverse proxy; /api2/json is added.
	Endpoint string

	// Token is an API token, "user@realm!id=secret".
	Token string `json:"-"`

	// Username ("root@pam") and Password log in with a ticket, which is
	// renewed before it expires. Some calls are not allowed with a token, such as
	// attaching a PCI device by its raw address.
	Username string
	Password string `json:"-"`

	// How the server's certificate is verified. When all are empty, the system's
	// certificate authorities are used. CAFile is the content of a PEM file, on a
	// Proxmox host /etc/pve/pve-root-ca.pem. Fingerprint is the SHA-256 of the server's
	// certificate in hex, with or without colons; it replaces all other checks.
	// Insecure accepts every server.
	CAFile      []byte
	Fingerprint string
	Insecure    bool

	// Limit limits the concurrent requests; nil means no limit. The same number of idle
	// connections is kept open.
	Limit *Limit

	// Transport replaces the network in tests. The TLS options are then ignored, and
	// the Endpoint may have any scheme.
	Transport http.RoundTripper `json:"-"`

	UserAgent string       // "gpuworker/1.2"; "go-pve" when empty
	Logger    *slog.Logger `json:"-"` // gets each request at level Debug; may be nil
}

// String describes the options without their secrets.
func (o Options) String() string {
	return fmt.Sprintf("pve.Options(%s as %s)", endpointName(o.Endpoint), o.login())
}

// GoString is String, so that %#v shows no secrets either.
func (o Options) GoString() string { return o.String() }

// Format prints String for every verb: %d would show the fields otherwise.
func (o Options) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, o.String()) }

// LogValue describes the options without their secrets.
func (o Options) LogValue() slog.Value {
	return slog.GroupValue(slog.String("endpoint", endpointName(o.Endpoint)), slog.String("user", o.login()))
}

// login is the user or the token's id, without its secret.
func (o Options) login() string {
	if o.Token != "" {
		id, _, found := strings.Cut(o.Token, "=")
		if !found {
			return "a token"
		}
		return id
	}
	if o.Username != "" {
		return o.Username
	}
	return "nobody"
}

// endpointName is the endpoint for display, without user information. New refuses
// user information, but Options may be printed before.
func endpointName(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "(unreadable endpoint)"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// secrets returns the texts that must not appear in any output.
func (o Options) secrets() []string {
	_, secret, _ := strings.Cut(o.Token, "=")
	return []string{secret, o.Password}
}

// base checks the endpoint and returns the URL that paths are appended to.
func (o Options) base() (string, error) {
	u, err := url.Parse(strings.TrimSpace(o.Endpoint))
	if err != nil || u.Host == "" {
		return "", errors.New("endpoint: write it as https://host:8006")
	}
	switch {
	case u.User != nil:
		return "", errors.New("endpoint: it must not contain a user or password; use the options for them")
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("endpoint: it must not contain a query or fragment")
	case o.Transport == nil && !isPrivate(u):
		return "", fmt.Errorf("endpoint: %q would send the credentials unencrypted; write https://", u.Scheme+"://")
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	if !strings.HasSuffix(path, "/api2/json") {
		path += "/api2/json"
	}
	return u.Scheme + "://" + u.Host + path, nil
}

// isPrivate reports whether the connection cannot be intercepted: TLS, or a test
// server on this machine.
func isPrivate(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && local
}

// The forms of a token and a user that pve-access-control accepts.
var (
	tokenForm = regexp.MustCompile(`^[^\s:/!=]+@[A-Za-z][A-Za-z0-9._-]+![A-Za-z][A-Za-z0-9._-]+=\S+$`)
	userForm  = regexp.MustCompile(`^[^\s:/!]+@[A-Za-z][A-Za-z0-9._-]+$`)
)

// checkCredentials refuses malformed credentials, which the server would answer with
// a 401 after three seconds. Its errors must not repeat the credentials.
func (o Options) checkCredentials() error {
	switch {
	case o.Token != "" && (o.Username != "" || o.Password != ""):
		return errors.New("give a token or a username and password, not both")
	case o.Token != "" && !tokenForm.MatchString(o.Token):
		return errors.New(`token: write it as "user@realm!id=secret" (the server shows the secret once, when the token is made)`)
	case o.Token != "":
		return nil
	case o.Username == "" || o.Password == "":
		return errors.New("no credentials: give a token, or a username and password")
	case !userForm.MatchString(o.Username):
		return errors.New(`username: write it with its realm, such as "root@pam"`)
	}
	return nil
}
