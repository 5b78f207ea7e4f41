package pve

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"
)

// logged writes a record of each try, at level Debug. Values of parameters are
// not logged, only which there were.
func logged(log *slog.Logger, secrets *secrets, next handler) handler {
	return func(ctx context.Context, c *call) (*answer, error) {
		if !log.Enabled(ctx, slog.LevelDebug) {
			return next(ctx, c)
		}
		start := time.Now()
		a, err := next(ctx, c)
		attrs := []slog.Attr{
			slog.String("method", c.method),
			slog.String("path", c.shownPath()),
			slog.Any("params", sortedKeys(c.params())),
			slog.Duration("took", time.Since(start)),
		}
		if err != nil {
			attrs = append(attrs, slog.String("error", secrets.redact(err.Error(), c.secrets)))
		} else {
			attrs = append(attrs, slog.Int("status", a.status), slog.String("reason", secrets.redact(a.reason, c.secrets)))
		}
		log.LogAttrs(ctx, slog.LevelDebug, "proxmox request", attrs...)
		return a, err
	}
}

// judged turns an answer that is an error into an *Error.
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

// Reads are tried this often, with pauses of about half a second and a second.
const (
	maxTries   = 3
	firstPause = 500 * time.Millisecond
)

// retried repeats reads that met a fault of the way to the server. A write is
// never sent again: only the caller can look whether it was carried out. A read
// that timed out is not repeated either, as it has taken its time.
func retried(log *slog.Logger, next handler) handler {
	return func(ctx context.Context, c *call) (*answer, error) {
		for try := 1; ; try++ {
			a, err := next(ctx, c)
			e, isError := asError(err)
			if err == nil || !isError || !e.passing || c.method != http.MethodGet || try == maxTries {
				return a, err
			}
			pause := jitter(firstPause << (try - 1))
			log.LogAttrs(ctx, slog.LevelDebug, "proxmox request is repeated",
				slog.String("path", c.shownPath()), slog.Int("try", try+1), slog.Duration("after", pause))
			if !sleep(ctx, pause) {
				return nil, c.fail(Canceled, "canceled while waiting to ask again, after: "+e.Message, ctx.Err())
			}
		}
	}
}

// jitter spreads a pause over 75 to 125 %, so that many clients that lost the
// same server do not return to it together.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1)
}

// sleep waits, and reports whether it waited to the end.
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
