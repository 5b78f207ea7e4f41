package pve

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
)

// records are the log records of one call, without their time and duration.
func records(t *testing.T, answer func(n int, s seen) reply, call func(*Client) error, set ...func(*Options)) []map[string]any {
	t.Helper()
	var log lockedBuffer
	set = append(set, func(o *Options) {
		o.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	synctest.Test(t, func(t *testing.T) {
		c, _ := inProcess(t, answer, set...)
		_ = call(c)
	})
	var all []map[string]any
	for line := range strings.Lines(log.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		if record["msg"] != "call" || record["took"] == nil {
			t.Errorf("not a call with its duration: %s", line)
		}
		all = append(all, record)
	}
	return all
}

// has checks one value of a record.
func has(t *testing.T, record map[string]any, key string, want any) {
	t.Helper()
	if record[key] != want {
		t.Errorf("%s is %v, want %v: %v", key, record[key], want, record)
	}
}

func TestEachRequestIsLoggedWithItsOutcome(t *testing.T) {
	nodes := func(c *Client) error { _, err := c.Nodes(context.Background()); return err }
	good := records(t, func(int, seen) reply { return says("[]") }, nodes)
	if len(good) != 1 {
		t.Fatalf("%d records", len(good))
	}
	for key, want := range map[string]any{"method": "GET", "path": "/nodes", "status": 200.0, "attempt": nil, "error": nil, "kind": nil} {
		has(t, good[0], key, want)
	}
	broken := records(t, func(n int, _ seen) reply {
		if n < 2 {
			return reply{} // breaks off
		}
		return dies(500, "got no worker upid")
	}, nodes)
	if len(broken) < 2 {
		t.Fatalf("%d records of a read that is repeated", len(broken))
	}
	has(t, broken[0], "kind", "Unavailable")
	has(t, broken[0], "status", nil)
	has(t, broken[1], "attempt", 2.0)
	last := broken[len(broken)-1]
	has(t, last, "status", 500.0)
	has(t, last, "error", "got no worker upid")
}

func TestALogOfAWriteNamesItsParametersAndTheDigest(t *testing.T) {
	all := records(t, func(int, seen) reply { return says("null") }, func(c *Client) error {
		return c.UpdateConfig(context.Background(), "pve1", 101, ConfigUpdate{Digest: "5c4f12345678901234567890", Set: map[string]string{"cipassword": "canary-cipassword", "cores": "4"}})
	})
	if len(all) != 1 {
		t.Fatalf("%d records", len(all))
	}
	has(t, all[0], "params", "cipassword,cores")
	has(t, all[0], "digest", "5c4f12345678")
}

func TestALoginThatExpiredIsLoggedAsAnotherAttempt(t *testing.T) {
	asked := 0
	var log []string
	for _, record := range records(t, func(n int, s seen) reply {
		if s.path == "/api2/json/access/ticket" {
			return says(`{"ticket":"canary-ticket","CSRFPreventionToken":"canary-csrf"}`)
		}
		if asked++; asked == 1 {
			return dies(401, "permission denied - invalid PVE ticket")
		}
		return says("[]")
	}, func(c *Client) error { _, err := c.Nodes(context.Background()); return err }, withPassword) {
		line, _ := json.Marshal([]any{record["path"], record["status"], record["attempt"]})
		log = append(log, string(line))
	}
	want := `["/access/ticket",200,null] ["/nodes",401,null] ["/access/ticket",200,null] ["/nodes",200,2]`
	if got := strings.Join(log, " "); got != want {
		t.Errorf("logged %s\nwant   %s", got, want)
	}
}
