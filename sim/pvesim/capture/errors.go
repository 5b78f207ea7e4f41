package capture

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
)

// kind is the effect of a failed read on the capture.
type kind int

const (
	fatal       kind = iota // nothing can be captured
	denied                  // the login may not see it
	unreachable             // its host does not answer
	refused                 // the server refuses for another reason
)

// Error is a read that failed: what was read, where, why, and what to do.
type Error struct {
	What, Where, Why, Next string
	kind                   kind
	// brief is the reason for notes, without the server's text, which may have real names.
	brief string
	cause error
}

func (e *Error) Error() string {
	return fmt.Sprintf("read %s of %s: %s; %s", e.What, e.Where, e.Why, e.Next)
}

// Unwrap returns the error of the connection, if any.
func (e *Error) Unwrap() error { return e.cause }

func (c *client) fail(kind kind, path, why, next string) *Error {
	return &Error{What: path, Where: c.base, Why: why, Next: next, kind: kind}
}

// broken is an answer that cannot be read.
func (c *client) broken(path, why string) error {
	return c.fail(fatal, path, why,
		"check that this is the API of Proxmox VE (port 8006), and that no proxy changes its answers, then capture again")
}

const giveAuditor = "give the token the role PVEAuditor on /"

// refusal is an answer with another status than 200. The reason phrase is the
// text of the error (recorded with Proxmox VE 9.2).
func (c *client) refusal(path string, status int, reason string) error {
	failed := c.refusalOf(path, status, fmt.Sprintf("%d %s", status, reason))
	failed.brief = fmt.Sprintf("the answer was %d", status)
	return failed
}

func (c *client) refusalOf(path string, status int, said string) *Error {
	switch {
	case status == 401:
		return c.fail(fatal, path, "the cluster does not know the token, or it has expired, or its user is disabled ("+said+")",
			"check id and secret of the token, under Datacenter, Permissions, API Tokens")
	case status == 403:
		return c.fail(denied, path, "the login may not see it ("+said+")", giveAuditor)
	case status >= 595 && status <= 599:
		return c.fail(unreachable, path, "its host does not answer ("+said+")", "capture again when it does")
	case status >= 300 && status < 400:
		return c.fail(fatal, path, "the server redirects to another address ("+said+")", "give the address of a Proxmox VE host itself as endpoint")
	case status == 404 || status == 502 || status == 503 || status == 504:
		return c.fail(fatal, path, "the server is not Proxmox VE, or a proxy in front of it fails ("+said+")",
			"give the address of a Proxmox VE host itself as endpoint, with port 8006")
	}
	return c.fail(refused, path, "the server refuses ("+said+")", "see the host's journal, and capture again")
}

// transportError is a request without an answer.
func (c *client) transportError(ctx context.Context, path string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var other *wrongCertificate
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	failed := c.fail(fatal, path, "", "")
	failed.cause = err
	switch {
	case errors.As(err, &other):
		failed.Why = "this is another server than expected: " + other.Error()
		failed.Next = "compare with \"pvenode cert info\" on the host; if the certificate was renewed, give its new fingerprint"
	case errors.As(err, &unknown), errors.As(err, &name):
		failed.Why = "its certificate is not trusted: " + err.Error()
		failed.Next = "give the certificate's fingerprint, or the cluster's CA (/etc/pve/pve-root-ca.pem)"
	case errors.Is(err, context.DeadlineExceeded):
		failed.kind = unreachable
		failed.Why = fmt.Sprintf("no answer within %s", c.timeout)
		failed.brief = failed.Why
		failed.Next = "check that the host is up and not overloaded, and capture again, if needed with a longer timeout"
	default:
		failed.Why = "the connection failed: " + err.Error()
		failed.Next = "check address, port and firewall"
	}
	return failed
}
