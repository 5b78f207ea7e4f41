package capture

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// maxAnswer is the maximum size of an answer. The list of 10,000 VMs has about 5 MiB.
const maxAnswer = 64 << 20

// client reads from the API of one cluster.
type client struct {
	base    string // https://pve1:8006
	token   string // user@realm!name=secret
	http    *http.Client
	timeout time.Duration // for each request

	mu     sync.Mutex
	silent map[string]error // hosts that did not answer in time
}

func newClient(o Options) (*client, error) {
	base, err := endpoint(o.Endpoint)
	if err != nil {
		return nil, err
	}
	if _, err := loginOf(o.Token); err != nil {
		return nil, err
	}
	transport := o.Transport
	if transport == nil {
		config, err := tlsConfig(o)
		if err != nil {
			return nil, err
		}
		transport = &http.Transport{TLSClientConfig: config, MaxConnsPerHost: o.parallel(), MaxIdleConnsPerHost: o.parallel(),
			Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 15 * time.Second}
	}
	return &client{base: base, token: o.Token, timeout: o.timeout(), silent: map[string]error{},
		http: &http.Client{Transport: readOnly{transport}, CheckRedirect: noRedirect}}, nil
}

// endpoint returns the address without path, with Proxmox VE's port by default.
func endpoint(text string) (string, error) {
	if text == "" {
		return "", errors.New("no endpoint given: write the address of one host of the cluster, such as https://pve1.example.org:8006")
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		return "", fmt.Errorf("endpoint %q: write https://HOST:8006 without a path", text)
	}
	if u.Port() == "" {
		return "https://" + u.Host + ":8006", nil
	}
	return "https://" + u.Host, nil
}

// loginOf returns the login of a token, user@realm!name. Its errors do not contain the
// secret.
func loginOf(token string) (string, error) {
	login, secret, _ := strings.Cut(token, "=")
	user, name, _ := strings.Cut(login, "!")
	if !strings.Contains(user, "@") || name == "" || secret == "" {
		return "", errors.New("the token is not of the form user@realm!name=secret: put the whole of it into the environment variable")
	}
	return login, nil
}

// readOnly allows only reads, so that a bug in the rest of this package cannot change a
// cluster.
type readOnly struct{ next http.RoundTripper }

func (t readOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || r.Body != nil && r.Body != http.NoBody {
		return nil, fmt.Errorf("capture only reads: refused to send %s %s", r.Method, r.URL.Path)
	}
	return t.next.RoundTrip(r)
}

// CloseIdleConnections is called by http.Client.
func (t readOnly) CloseIdleConnections() {
	if closer, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// noRedirect prevents sending the token to another server.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// tlsConfig trusts one certificate by its fingerprint, or the given authorities, or those
// of the system.
func tlsConfig(o Options) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case o.Fingerprint != "":
		expected, err := hex.DecodeString(strings.ReplaceAll(o.Fingerprint, ":", ""))
		if err != nil || len(expected) != sha256.Size {
			return nil, fmt.Errorf("fingerprint %q: must be the SHA-256 of the certificate, 64 hexadecimal digits with or without colons, "+
				"as the host's Certificates page or \"pvenode cert info\" shows it", o.Fingerprint)
		}
		// The fingerprint is sufficient; names and dates are not checked.
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(state tls.ConnectionState) error {
			got := sha256.Sum256(state.PeerCertificates[0].Raw)
			if string(got[:]) != string(expected) {
				return &wrongCertificate{hex.EncodeToString(got[:])}
			}
			return nil
		}
	case len(o.CA) > 0:
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(o.CA) {
			return nil, errors.New("the CA file has no certificate in PEM form: a cluster's own is /etc/pve/pve-root-ca.pem on each host")
		}
	}
	return config, nil
}

type wrongCertificate struct{ got string }

func (e *wrongCertificate) Error() string { return "its certificate has the fingerprint " + e.got }

// get reads one path of the API below /api2/json. host is the host that must answer, ""
// for any. After a timeout, a host gets no more requests.
func (c *client) get(ctx context.Context, host, path string, out any) error {
	if err := c.silence(host); err != nil {
		return err
	}
	err := c.fetch(ctx, path, out)
	var failed *Error
	if host != "" && errors.As(err, &failed) && failed.kind == unreachable {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.silent[host] = err
	}
	return err
}

func (c *client) silence(host string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.silent[host]
}

func (c *client) fetch(ctx context.Context, path string, out any) error {
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(limited, http.MethodGet, c.base+"/api2/json"+path, nil)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	request.Header.Set("Authorization", "PVEAPIToken="+c.token)
	response, err := c.http.Do(request)
	if err != nil {
		return c.transportError(ctx, path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case response.StatusCode != http.StatusOK:
		return c.refusal(path, response.StatusCode, strings.TrimPrefix(response.Status, fmt.Sprint(response.StatusCode, " ")))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return c.broken(path, fmt.Sprintf("the answer is truncated after %d bytes", len(body)))
	case err != nil:
		return c.transportError(ctx, path, err)
	case len(body) > maxAnswer:
		return c.broken(path, fmt.Sprintf("the answer has more than %d MiB", maxAnswer>>20))
	}
	return c.decode(path, body, out)
}

func (c *client) decode(path string, body []byte, out any) error {
	text := strings.TrimSpace(string(body))
	if !strings.HasPrefix(text, "{") {
		return c.broken(path, fmt.Sprintf("the answer is not JSON; it begins with %.40q", text))
	}
	envelope := struct {
		Data json.RawMessage `json:"data"`
	}{}
	err := json.Unmarshal(body, &envelope)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(body)):
		return c.broken(path, fmt.Sprintf("the answer is truncated after %d bytes", len(body)))
	case err != nil:
		return c.broken(path, "the answer is no good JSON: "+err.Error())
	case len(envelope.Data) == 0:
		return c.broken(path, "the answer has no \"data\"")
	}
	if err := json.Unmarshal(envelope.Data, out); err != nil {
		return c.broken(path, "the answer has another form than that of Proxmox VE: "+err.Error())
	}
	return nil
}
