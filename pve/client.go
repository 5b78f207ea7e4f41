package pve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// Client talks to one Proxmox VE cluster through one of its nodes. It keeps no
// state but the login, and may be used by many goroutines at once.
type Client struct {
	name    string // what String says
	run     handler
	secrets *secrets
	log     *slog.Logger
}

// New makes a client. It does not connect: the first call does. Options that
// cannot work are an *Error of kind Invalid.
func New(o Options) (*Client, error) {
	base, err := o.base()
	if err == nil {
		err = o.checkCredentials()
	}
	if err != nil {
		return nil, badOptions(err)
	}
	net := &network{base: base, timeout: o.Timeout, transport: o.Transport, agent: o.UserAgent}
	if net.timeout <= 0 {
		net.timeout = defaultTimeout
	}
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
	// Read from the inside out: a request goes to the network, is logged there,
	// had to wait for its turn, carries the login, has its answer judged, and is
	// repeated if it may be.
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

// String describes the client without its secrets. This and the next three work
// on a copied Client too.
func (c Client) String() string { return c.name }

// GoString is String, so that %#v shows no secrets either.
func (c Client) GoString() string { return c.name }

// Format prints String for every verb.
func (c Client) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, c.name) }

// LogValue describes the client without its secrets.
func (c Client) LogValue() slog.Value { return slog.StringValue(c.name) }

// do carries out a call and reads the data of its answer into a value; nil
// for a call that answers nothing.
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
		e := call.fail(Unknown, "the answer names no task, so it is not known what the server is doing", nil)
		e.Ambiguous = true
		return Task{}, e
	}
	return task, err
}

// startMaybe is start for a call that may also be done at once, with null for
// an answer.
func (c *Client) startMaybe(ctx context.Context, call *call) (Task, error) {
	var upid UPID
	if err := c.do(ctx, call, &upid); err != nil {
		return Task{}, err
	}
	return c.Task(upid), nil
}

// check refuses a call whose path would lead elsewhere.
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
