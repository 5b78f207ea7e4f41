package pve

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// authenticated adds the login to each request.
func authenticated(o Options, secrets *secrets, next handler) handler {
	if o.Token != "" {
		header := http.Header{"Authorization": {"PVEAPIToken=" + o.Token}}
		return func(ctx context.Context, c *call) (*answer, error) {
			return next(ctx, c.carrying(header))
		}
	}
	t := &tickets{
		user: o.Username, password: o.Password,
		secrets: secrets, next: next, turn: make(chan struct{}, 1),
	}
	return t.handle
}

// carrying returns a copy of the call with the header of a login.
func (c *call) carrying(header http.Header) *call {
	carrier := *c
	carrier.header = header
	return &carrier
}

// A ticket is valid for two hours (PVE::AccessControl::verify_ticket). It is renewed
// earlier, so that it does not expire during a long upload.
const renewAfter = 90 * time.Minute

// tickets logs in with a password and keeps the ticket.
type tickets struct {
	user, password string
	secrets        *secrets
	next           handler

	// turn is a lock for reading or renewing the ticket, so that many concurrent
	// requests with an expired ticket log in only once. It is a channel, so that waiting
	// for it can end with the context.
	turn    chan struct{}
	current *ticket
}

type ticket struct {
	Ticket  string `json:"ticket"`
	CSRF    string `json:"CSRFPreventionToken"`
	NeedTFA bool   `json:"NeedTFA"`
	made    time.Time
}

// handle sends a call with the ticket. After a 401 the server has done nothing, so the
// call is sent again with a new ticket, whatever its method. An upload is not sent
// again, because its reader is already consumed.
func (t *tickets) handle(ctx context.Context, c *call) (*answer, error) {
	used, err := t.get(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	a, err := t.next(ctx, c.carrying(used.header(c)))
	if err != nil || a.status != http.StatusUnauthorized || c.upload != nil {
		return a, err
	}
	renewed, err := t.get(ctx, c, used)
	if err != nil {
		return nil, err
	}
	return t.next(ctx, c.retry().carrying(renewed.header(c)))
}

func (k *ticket) header(c *call) http.Header {
	header := http.Header{"Cookie": {"PVEAuthCookie=" + url.QueryEscape(k.Ticket)}}
	if !c.reads() {
		header["Csrfpreventiontoken"] = []string{k.CSRF}
	}
	return header
}

// get returns a ticket that is neither expired nor the refused one.
func (t *tickets) get(ctx context.Context, c *call, refused *ticket) (*ticket, error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return nil, c.fail(Canceled, "canceled while waiting for the login: "+ctx.Err().Error(), ctx.Err())
	}
	if t.current == nil || t.current == refused || time.Since(t.current.made) > renewAfter {
		renewed, err := t.login(ctx)
		if err != nil {
			return nil, err
		}
		t.current = renewed
	}
	return t.current, nil
}

// login gets a ticket. Its errors are never ambiguous, because the call that needs
// the ticket has not been sent.
func (t *tickets) login(ctx context.Context) (*ticket, error) {
	c := post("/access/ticket").with("username", t.user).with("password", t.password)
	renewed := &ticket{made: time.Now()}
	a, err := judged(t.next)(ctx, c)
	if err == nil {
		err = a.parse(c, renewed)
	}
	if e, ok := asError(err); ok {
		e.Ambiguous = false
		if e.Kind == Unauthenticated {
			e.Message += ": the user " + t.user + ", its realm or its password is wrong, or the user is disabled or expired"
		}
		return nil, err
	}
	t.secrets.addTicket(renewed.Ticket, renewed.CSRF)
	switch {
	case renewed.NeedTFA:
		return nil, c.fail(Unauthenticated, "the user "+t.user+" needs a second factor, which a program cannot enter: use an API token", nil)
	case renewed.Ticket == "" || renewed.CSRF == "":
		return nil, c.fail(Unknown, "the answer to the login has no ticket", nil)
	}
	return renewed, nil
}
