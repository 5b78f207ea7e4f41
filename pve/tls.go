package pve

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// pinError says that the server's certificate is not the pinned one: it was renewed,
// or this is another server.
type pinError struct {
	expected, seen string // SHA-256 in upper-case hex with colons, as openssl prints it
}

// Error names both fingerprints and where to look.
func (e *pinError) Error() string {
	return fmt.Sprintf("the server's certificate is not the pinned one: expected SHA-256 fingerprint %s, seen %s; "+
		"compare with `pvenode cert info` on the host before changing the pin", e.expected, e.seen)
}

// keptConnections is the number of idle connections that are kept without a Limit.
const keptConnections = 8

// newTransport returns the HTTP transport. It uses HTTP/1.1 only, like pveproxy. Idle
// connections are closed before the server closes them after 5 s, because a request on
// a connection that is being closed ends in EOF. The number of kept connections is
// that of concurrent requests, because a TLS handshake takes longer than most answers.
func newTransport(o Options) (*http.Transport, error) {
	config, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	kept, most := keptConnections, 0
	if o.Limit != nil {
		kept, most = o.Limit.Total(), o.Limit.Total()
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: refusedByProxy,
		DialContext:            dialer.DialContext,
		DialTLSContext:         dialTLS(dialer, config),
		TLSHandshakeTimeout:    handshakeTimeout,
		TLSClientConfig:        config,
		Protocols:              &protocols,
		MaxConnsPerHost:        most, // 0 means no limit
		MaxIdleConns:           kept,
		MaxIdleConnsPerHost:    kept,
		IdleConnTimeout:        4 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}, nil
}

func (o Options) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(o.CAFile) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(o.CAFile) {
			return nil, errors.New("CA file: it contains no certificate in PEM form")
		}
	}
	if o.Fingerprint != "" {
		expected, err := parseFingerprint(o.Fingerprint)
		if err != nil {
			return nil, err
		}
		config.InsecureSkipVerify = true // VerifyConnection checks the pin instead
		config.VerifyConnection = checkPin(expected)
		return config, nil
	}
	config.InsecureSkipVerify = o.Insecure
	return config, nil
}

func checkPin(expected [sha256.Size]byte) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		seen := sha256.Sum256(s.PeerCertificates[0].Raw)
		if seen != expected {
			return &pinError{expected: formatFingerprint(expected), seen: formatFingerprint(seen)}
		}
		return nil
	}
}

func parseFingerprint(s string) (sum [sha256.Size]byte, err error) {
	raw, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(s))
	if err != nil || len(raw) != len(sum) {
		return sum, fmt.Errorf("fingerprint: %q is not a SHA-256 in hex (32 bytes, as `pvenode cert info` shows it)", clip(s, 120))
	}
	return [sha256.Size]byte(raw), nil
}

func formatFingerprint(sum [sha256.Size]byte) string {
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// untrusted explains a failed check of the server's certificate; "" for other errors.
func untrusted(err error) string {
	var pin *pinError
	if errors.As(err, &pin) {
		return pin.Error()
	}
	var check *tls.CertificateVerificationError
	if !errors.As(err, &check) {
		return ""
	}
	text := fmt.Sprintf("the server's certificate cannot be trusted: %v", check.Err)
	if len(check.UnverifiedCertificates) > 0 {
		seen := sha256.Sum256(check.UnverifiedCertificates[0].Raw)
		text += fmt.Sprintf("; give its CA (/etc/pve/pve-root-ca.pem on a host), or pin its SHA-256 fingerprint %s "+
			"after comparing it with `pvenode cert info` on the host", formatFingerprint(seen))
	}
	return text
}
