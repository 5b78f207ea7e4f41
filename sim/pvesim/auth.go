package pvesim

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// identity is the caller of a request: a user, or one of its tokens.
type identity struct{ user, token string }

// String is the form of UPIDs: root@pam, or root@pam!auto for a token.
func (i identity) String() string {
	if i.token == "" {
		return i.user
	}
	return i.user + "!" + i.token
}

// isRoot reports whether the caller is root@pam with a password; root's tokens do not
// count.
func (i identity) isRoot() bool { return i == identity{user: "root@pam"} }

func unauthorized(reason string) error {
	return &apiError{status: 401, reason: reason, bare: true}
}

// refuseLogin delays a refused login like the real server. The refusal is the answer
// also when the wait is canceled.
func (s *Sim) refuseLogin(ctx context.Context, refusal error) error {
	if err := s.sleep(ctx, s.timings.RefusedLogin); errors.Is(err, errClosed) {
		return err
	}
	return refusal
}

var tokenHeader = regexp.MustCompile(`^\s*PVEAPIToken[= ](.+)$`)

// authenticate determines the caller. A cookie has precedence over a token, even if the
// cookie is invalid. With a ticket, all calls except reads need a CSRF token.
func (s *Sim) authenticate(in inbound, r *request, c *call) error {
	if c != nil && c.world {
		return nil
	}
	if ticket, ok := ticketCookie(in.header.Get("Cookie")); ok {
		user, ok := s.checkTicket(ticket)
		if !ok {
			return unauthorized("Authentication failed!")
		}
		r.caller = identity{user: user}
		needsCSRF := in.method != "GET" && (c == nil || !c.upload)
		if needsCSRF && !s.checkCSRF(user, in.header.Get("CSRFPreventionToken")) {
			return unauthorized("Permission denied - invalid csrf token")
		}
		return nil
	}
	m := tokenHeader.FindStringSubmatch(in.header.Get("Authorization"))
	if m == nil {
		return unauthorized("No ticket")
	}
	caller, ok := s.checkToken(m[1])
	if !ok {
		return unauthorized("Authentication failed!")
	}
	r.caller = caller
	return nil
}

func ticketCookie(header string) (string, bool) {
	for part := range strings.SplitSeq(header, ";") {
		value, ok := strings.CutPrefix(strings.TrimSpace(part), "PVEAuthCookie=")
		if !ok {
			continue
		}
		if decoded, err := url.PathUnescape(value); err == nil {
			value = decoded
		}
		return value, true
	}
	return "", false
}

func (s *Sim) checkToken(text string) (identity, bool) {
	id, secret, _ := strings.Cut(text, "=")
	user, name, isToken := strings.Cut(id, "!")
	if !isToken || !tokenForm.MatchString(id) {
		return identity{}, false
	}
	s.lock()
	defer s.unlock()
	t := s.access.token(id)
	now := time.Now()
	if t == nil || s.access.user(user, now) == nil || t.Expire != 0 && t.Expire <= now.Unix() {
		return identity{}, false
	}
	if subtle.ConstantTimeCompare([]byte(t.Secret), []byte(secret)) != 1 {
		return identity{}, false
	}
	return identity{user, name}, true
}

// ticketLife is the validity of a ticket.
const ticketLife = 2 * time.Hour

func (s *Sim) sign(text string) string {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte(text))
	return base64.RawStdEncoding.EncodeToString(mac.Sum(nil))
}

func (s *Sim) newTicket(user string) (ticket, csrf string) {
	stamp := fmt.Sprintf("%08X", time.Now().Unix())
	plain := "PVE:" + user + ":" + stamp
	return plain + "::" + s.sign(plain), stamp + ":" + s.sign(stamp+":"+user)
}

func justMade(stamp string) bool {
	seconds, err := strconv.ParseInt(stamp, 16, 64)
	age := time.Since(time.Unix(seconds, 0))
	return err == nil && age > -5*time.Minute && age < ticketLife
}

func (s *Sim) checkTicket(ticket string) (user string, ok bool) {
	plain, signature, found := strings.Cut(ticket, "::")
	parts := strings.Split(plain, ":")
	if !found || len(parts) != 3 || parts[0] != "PVE" {
		return "", false
	}
	if !hmac.Equal([]byte(s.sign(plain)), []byte(signature)) || !justMade(parts[2]) {
		return "", false
	}
	s.lock()
	defer s.unlock()
	return parts[1], s.access.user(parts[1], time.Now()) != nil
}

func (s *Sim) checkCSRF(user, token string) bool {
	stamp, signature, _ := strings.Cut(token, ":")
	return justMade(stamp) && hmac.Equal([]byte(s.sign(stamp+":"+user)), []byte(signature))
}

// login is POST /access/ticket. The password may be a ticket, which renews it.
func (s *Sim) login(r *request) (any, error) {
	name := r.args.get("username")
	if realm := r.args.get("realm"); realm != "" && !strings.Contains(name, "@") {
		name += "@" + realm
	}
	for _, extra := range []string{"otp", "tfa-challenge", "path", "privs"} {
		if r.args.has(extra) {
			return nil, notSimulated("parameter '%s' of a login", extra)
		}
	}
	password := r.args.get("password")
	renewed, isTicket := s.checkTicket(password)
	s.lock()
	u := s.access.user(name, time.Now())
	good := u != nil && (isTicket && renewed == name ||
		s.access.goodPassword(name, password))
	cap := map[string]any{}
	if good {
		cap = s.capabilities(identity{user: name})
	}
	s.unlock()
	if !good {
		return nil, s.refuseLogin(r.ctx, &apiError{status: 401, reason: "authentication failure"})
	}
	ticket, csrf := s.newTicket(name)
	out := map[string]any{"username": name, "ticket": ticket, "CSRFPreventionToken": csrf, "cap": cap}
	if s.clusters != "" {
		out["clustername"] = s.clusters
	}
	return out, nil
}

// capabilities are the caller's capabilities for the web interface.
func (s *Sim) capabilities(caller identity) map[string]any {
	out := map[string]any{}
	for section, c := range map[string]struct {
		path  string
		privs []string
	}{
		"vms": {"/vms", []string{"VM.", "Permissions.Modify"}}, "storage": {"/storage", []string{"Datastore.", "Permissions.Modify"}},
		"access": {"/access", []string{"User.Modify", "Group.Allocate", "Permissions.Modify"}},
		"nodes":  {"/nodes", []string{"Sys.", "Permissions.Modify"}}, "mapping": {"/mapping", []string{"Mapping.", "Permissions.Modify"}},
		"sdn": {"/sdn", []string{"SDN.", "Permissions.Modify"}}, "dc": {"/", []string{"SDN.", "Sys.Audit", "Sys.Modify"}},
	} {
		granted := map[string]int{}
		for priv := range s.privileges(caller, c.path) {
			if slices.ContainsFunc(c.privs, func(p string) bool {
				return priv == p || strings.HasSuffix(p, ".") && strings.HasPrefix(priv, p)
			}) {
				granted[priv] = 1
			}
		}
		out[section] = granted
	}
	return out
}
