package pve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// Client talks to one Proxmox VE cluster through one of its nodes. It keeps no
// state except the login, and is safe for concurrent use.
type Client struct {
	name    string // result of String
	run     handler
	secrets *secrets
	log     *slog.Logger
}

// New returns a client. It does not connect; the first call does. For invalid options
// it returns an *Error of kind Invalid.
func New(o Options) (*Client, error) {
	base, err := o.base()
	if err == nil {
		err = o.checkCredentials()
	}
	if err != nil {
		return nil, badOptions(err)
	}
	net := &network{base: base, transport: o.Transport, agent: o.UserAgent}
	if net.agent == "" {
		net.agent = "go-pve"
	}
	if net.transport == nil {
		if net.transport, err = newTransport(o); err != nil {
			return nil, badOptions(err)
		}
		net.own = true
	}
	c := &Client{name: "pve.Client(" + base + " as " + o.login() + ")", secrets: newSecrets(o.secrets()), log: o.Logger}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	// The handlers, from the innermost to the outermost: send the request, log it,
	// wait for the limit, add the login, turn a bad answer into an error, retry.
	c.run = net.send
	c.run = logged(c.log, c.secrets, c.run)
	c.run = bounded(o.Limit, base, c.run)
	c.run = authenticated(o, c.secrets, c.run)
	c.run = judged(c.run)
	c.run = retried(c.run)
	return c, nil
}

func badOptions(err error) error {
	return &Error{Kind: Invalid, Message: "pve: " + err.Error(), Cause: err}
}

// String describes the client without its secrets. This and the next three methods
// also work on a copy of a Client.
func (c Client) String() string { return c.name }

// GoString is String, so that %#v shows no secrets either.
func (c Client) GoString() string { return c.name }

// Format prints String for every verb.
func (c Client) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, c.name) }

// LogValue describes the client without its secrets.
func (c Client) LogValue() slog.Value { return slog.StringValue(c.name) }

// do carries out a call and decodes the data of its answer into a value; nil ignores
// the data.
func (c *Client) do(ctx context.Context, call *call, into any) error {
	if err := call.check(); err != nil {
		return err
	}
	a, err := c.run(ctx, call)
	if err == nil {
		err = a.parse(call, into)
	}
	return c.secrets.clean(err, call.secrets)
}

// start carries out a call that starts a task.
func (c *Client) start(ctx context.Context, call *call) (Task, error) {
	task, err := c.startMaybe(ctx, call)
	if err == nil && task.UPID.IsZero() {
		e := call.fail(Unknown, "the answer names no task, so the state of the operation is not known", nil)
		e.Ambiguous = true
		return Task{}, e
	}
	return task, err
}

// startMaybe is start for a call that the server may also complete at once, without a
// task. The answer is then null.
func (c *Client) startMaybe(ctx context.Context, call *call) (Task, error) {
	var upid UPID
	if err := c.do(ctx, call, &upid); err != nil {
		return Task{}, err
	}
	return c.Task(upid), nil
}

// check refuses a call whose path is not valid.
func (c *call) check() error {
	if c.bad != "" {
		return c.invalid(c.bad + "; nothing was sent")
	}
	return nil
}

// invalid is an error found before anything was sent.
func (c *call) invalid(text string) error { return c.fail(Invalid, text, nil) }

// asError finds the *Error in an error.
func asError(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}
