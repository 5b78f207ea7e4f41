package pve

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// logged writes a record of each request at level Debug: the request, the outcome and
// the duration. For a write it has the names of the parameters and the digest, but no
// other values, because some are passwords.
func logged(log *slog.Logger, secrets *secrets, next handler) handler {
	return func(ctx context.Context, c *call) (*answer, error) {
		if !log.Enabled(ctx, slog.LevelDebug) {
			return next(ctx, c)
		}
		start := time.Now()
		a, err := next(ctx, c)
		took := time.Since(start)
		attrs := []slog.Attr{slog.String("method", c.method), slog.String("path", secrets.redact(c.loggedPath(), c.secrets))}
		if err == nil {
			attrs = append(attrs, slog.Int("status", a.status), slog.Duration("took", took))
		} else {
			attrs = append(attrs, slog.String("kind", string(KindOf(err))), slog.Duration("took", took))
		}
		attrs = append(attrs, c.details()...)
		switch {
		case err != nil:
			attrs = append(attrs, slog.String("error", secrets.redact(reasonOf(err), c.secrets)))
		case a.status < 200 || a.status > 299:
			attrs = append(attrs, slog.String("error", secrets.redact(clip(a.reason, maxText), c.secrets)))
		}
		log.LogAttrs(ctx, slog.LevelDebug, "call", attrs...)
		return a, err
	}
}

// loggedPath is the path, with the query if the call is a read.
func (c *call) loggedPath() string {
	if !c.reads() || len(c.query) == 0 {
		return c.shownPath()
	}
	query := c.query.Encode()
	if plain, err := url.QueryUnescape(query); err == nil {
		query = plain
	}
	return c.shownPath() + "?" + query
}

// shownDigest is the number of characters of a digest in a log record.
const shownDigest = 12

// details returns further fields of a log record: the number of the attempt if it is
// not the first, and for a write the parameters and the digest.
func (c *call) details() []slog.Attr {
	var attrs []slog.Attr
	if c.repeated > 0 {
		attrs = append(attrs, slog.Int("attempt", c.repeated+1))
	}
	if c.reads() {
		return attrs
	}
	names := slices.DeleteFunc(sortedKeys(c.params()), func(name string) bool { return name == "digest" })
	if len(names) > 0 {
		attrs = append(attrs, slog.String("params", strings.Join(names, ",")))
	}
	if digest := c.params().Get("digest"); digest != "" {
		attrs = append(attrs, slog.String("digest", digest[:min(shownDigest, len(digest))]))
	}
	return attrs
}

// reasonOf is the text of an error without its call.
func reasonOf(err error) string {
	if e, ok := asError(err); ok {
		return oneLine(e.text())
	}
	return err.Error()
}

// judged turns an answer with an error status into an *Error.
func judged(next handler) handler {
	return func(ctx context.Context, c *call) (*answer, error) {
		a, err := next(ctx, c)
		if err != nil {
			return nil, err
		}
		if a.status < 200 || a.status > 299 {
			return nil, a.failure(c)
		}
		return a, nil
	}
}

// The number of attempts for a read, and the first pause; the second is twice as long.
const (
	maxTries   = 3
	firstPause = 500 * time.Millisecond
)

// retried repeats reads after a temporary fault of the connection. A write is never
// sent again: only the caller can check whether it was carried out. A read that timed
// out is not repeated either, because it has already taken long.
func retried(next handler) handler {
	return func(ctx context.Context, c *call) (*answer, error) {
		for {
			a, err := next(ctx, c)
			e, isError := asError(err)
			if err == nil || !isError || !e.passing || c.method != http.MethodGet || c.repeated == maxTries-1 {
				return a, err
			}
			if !sleep(ctx, jitter(firstPause<<c.repeated)) {
				return nil, c.fail(Canceled, "canceled while waiting to retry, after: "+e.Message, ctx.Err())
			}
			c = c.retry()
		}
	}
}

// jitter varies a pause between 75 and 125 %, so that many clients of the same server
// do not retry at the same time.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1)
}

// sleep waits, and reports whether it was not canceled.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
