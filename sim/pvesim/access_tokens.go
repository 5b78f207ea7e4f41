package pvesim

import (
	"slices"
	"strings"
)

func tokenNameSpec() spec { return matching(`[A-Za-z][A-Za-z0-9.\-_]+`) }

func tokenSpecs() specs {
	return specs{"userid": formatted(userFormat).upTo(64), "tokenid": tokenNameSpec(), "comment": text(), "expire": integer().atLeast(0), "privsep": boolean()}
}

// createToken answers with the secret; no other call shows it.
func (s *Sim) createToken(r *request) (any, error) {
	user, name := r.args.get("userid"), r.args.get("tokenid")
	if err := s.knownUser(user); err != nil {
		return nil, err
	}
	if err := s.lockFor(userLock, "generating token failed"); err != nil {
		return nil, err
	}
	id := user + "!" + name
	if s.access.token(id) != nil {
		return nil, badParam("tokenid", "Token already exists.")
	}
	t := Token{ID: id, Secret: s.newSecret(id)}
	t.describe(r.args)
	s.access.tokens = append(slices.Clone(s.access.tokens), t)
	info := map[string]any{"privsep": 1}
	for _, key := range []string{"privsep", "expire", "comment"} {
		if r.args.has(key) && (key != "comment" || r.args.get(key) != "") {
			info[key] = r.args.get(key) // a string, as in the request
		}
	}
	return map[string]any{"info": info, "value": t.Secret, "full-tokenid": id}, nil
}

func (s *Sim) newSecret(id string) string { return newUUID(s.streams.next("token %s", id)) }

func (t *Token) describe(given args) {
	if given.has("privsep") {
		t.NoPrivSep = !given.flag("privsep")
	}
	if given.has("expire") {
		t.Expire = int64(given.number("expire", 0))
	}
	if given.has("comment") {
		t.Comment = given.get("comment")
	}
}

// ownToken returns the token of a request, or an error if it does not exist.
func (s *Sim) ownToken(r *request) (*Token, error) {
	user, name := r.args.get("userid"), r.args.get("tokenid")
	if err := s.knownUser(user); err != nil {
		return nil, err
	}
	if t := s.access.token(user + "!" + name); t != nil {
		return t, nil
	}
	return nil, die("no such token '%s' for user '%s'", name, user)
}

// updateToken changes a token, and with regenerate its secret. Versions before 9.2 do
// not support regenerate.
func (s *Sim) updateToken(r *request) (any, error) {
	if r.args.has("regenerate") && s.productBefore(9, 2) {
		return nil, badParam("regenerate", unknownProperty)
	}
	if err := s.lockFor(userLock, "updating token info failed"); err != nil {
		return nil, err
	}
	old, err := s.ownToken(r)
	if err != nil {
		return nil, err
	}
	t := *old
	t.describe(r.args)
	for _, option := range splitList(r.args.get("delete")) {
		if option != "comment" {
			return nil, die("updating token info failed: %v", badParam("delete", "unknown option '%s'", option))
		}
		t.Comment = ""
	}
	out := tokenFields(t)
	for _, key := range []string{"privsep", "expire"} {
		if r.args.has(key) {
			out[key] = r.args.get(key) // a string, as in the request
		}
	}
	if r.args.flag("regenerate") {
		t.Secret = s.newSecret(t.ID)
		out["value"], out["full-tokenid"] = t.Secret, t.ID
	}
	*old = t
	return out, nil
}

func (s *Sim) deleteToken(r *request) (any, error) {
	t, err := s.ownToken(r)
	if err != nil {
		return nil, err
	}
	id := t.ID
	return s.changeAccess("deleting token failed", func(a *access) error {
		a.tokens = slices.DeleteFunc(a.tokens, func(t Token) bool { return t.ID == id })
		return nil
	})
}

// tokensOf lists a user's tokens, without their secrets.
func (s *Sim) tokensOf(user string) []any {
	out := []any{}
	for _, t := range s.access.tokens {
		if owner, name, _ := strings.Cut(t.ID, "!"); owner == user {
			out = append(out, merge(tokenFields(t), map[string]any{"tokenid": name}))
		}
	}
	return out
}

func tokenFields(t Token) map[string]any {
	out := map[string]any{"privsep": 1, "expire": t.Expire}
	if t.NoPrivSep {
		out["privsep"] = 0
	}
	if t.Comment != "" {
		out["comment"] = t.Comment
	}
	return out
}

// productBefore reports whether the product's version is lower.
func (s *Sim) productBefore(major, minor int) bool {
	r, err := parseRelease(s.version)
	return err == nil && r.before(major, minor, 0)
}
