package pvesim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// call describes one method of the API.
type call struct {
	method, path string // {name} is a parameter, {name...} takes the rest
	params       specs
	// may checks the privileges, before the parameters are checked.
	may check
	// serve carries out the call. The lock is held, unless waits is set.
	serve func(s *Sim, r *request) (any, error)
	waits bool
	// protected calls are forwarded to the privileged daemon.
	protected bool
	// world calls need no credentials.
	world bool
	// proxy is the name of the parameter with the host that must answer; with anyHost, the
	// receiving host answers.
	proxy string
	// upload calls take multipart bodies and need no CSRF token.
	upload bool
	// absent calls are not simulated, see absentCalls.
	absent bool

	parts []string
}

// anyHost is for calls that are not forwarded to the host in their path.
const anyHost = "-"

// router finds calls by method and path. It is immutable and shared by all simulators of
// one version.
type router struct{ calls []*call }

var routers = map[int]func() *router{8: routerOf(8), 9: routerOf(9)}

func routerOf(major int) func() *router {
	return sync.OnceValue(func() *router { return newRouter(slices.Concat(table(major), absentCalls())) })
}

func newRouter(table []call) *router {
	r := &router{}
	for _, c := range table {
		c.parts = segments(c.path)
		if strings.Contains(c.path, "{node}") && c.proxy == "" {
			c.proxy = "node"
		}
		c.params = merge(pathSpecs(c.parts), c.params)
		r.calls = append(r.calls, &c)
	}
	return r
}

// pathSpecs are the parameters in a path.
func pathSpecs(parts []string) specs {
	out := specs{}
	for _, part := range parts {
		if !strings.HasPrefix(part, "{") {
			continue
		}
		name := strings.TrimSuffix(strings.Trim(part, "{}"), "...")
		s := text()
		switch name {
		case "vmid":
			s = vmidSpec()
		case "storage":
			s = storageSpec()
		case "node":
			s = nodeSpec()
		case "snapname":
			s = configIDSpec().upTo(40)
		case "id":
			s = configIDSpec()
		}
		out[name] = s
	}
	return out
}

// find returns the call of a request, with the parameters in the path.
func (r *router) find(method string, path []string) (*call, args) {
	for _, c := range r.calls {
		if c.method != method {
			continue
		}
		if c.matches(path) {
			return c, c.values(path)
		}
	}
	return nil, nil
}

// matches reports whether a path is one of the call's. A path with blanks matches no
// call, because no name in a path may have blanks.
func (c *call) matches(path []string) bool {
	for i, part := range c.parts {
		switch {
		case i >= len(path):
			return false
		case strings.HasSuffix(part, "...}"):
			return true
		case strings.HasPrefix(part, "{"):
			if strings.ContainsFunc(path[i], unicode.IsSpace) {
				return false
			}
		case part != path[i]:
			return false
		}
	}
	return len(path) == len(c.parts)
}

// values returns the parameters in a matching path.
func (c *call) values(path []string) args {
	values := args{}
	for i, part := range c.parts {
		if name, ok := strings.CutSuffix(part, "...}"); ok {
			values[name[1:]] = arg{values: []string{strings.Join(path[i:], "/")}}
		} else if strings.HasPrefix(part, "{") {
			values[part[1:len(part)-1]] = arg{values: []string{path[i]}}
		}
	}
	return values
}

// respond answers one request like pveproxy.
func (s *Sim) respond(in inbound) *answer {
	path := segments(in.path)
	if headersTooLong(in) {
		_ = s.sleep(in.ctx, Duration(idleTime))
		return &answer{drop: true}
	}
	if !slices.Contains([]string{"GET", "POST", "PUT", "DELETE"}, in.method) {
		return s.refuse(in, plainAnswer(501, fmt.Sprintf("method '%s' not available", in.method), false))
	}
	if in.chunked {
		return s.refuse(in, plainAnswer(501, "chunked transfer encoding not supported", true))
	}
	if len(path) == 0 || path[0] != "api2" {
		a := plainAnswer(500, fmt.Sprintf("no such file '%s'", in.path), true)
		a.body = append(a.body, '\n')
		return s.refuse(in, a)
	}
	if len(path) == 1 {
		return s.refuse(in, plainAnswer(501, "no such uri", true))
	}
	format, path := path[1], path[2:]
	if format != "json" && format != "extjs" {
		return s.refuse(in, plainAnswer(501, fmt.Sprintf("no formatter for uri /%s, %s", strings.Join(path, "/"), format), true))
	}
	r := &request{ctx: in.ctx, gone: in.gone, method: in.method, path: "/" + strings.Join(path, "/")}
	c, values := s.calls.find(in.method, path)
	data, err := s.handle(in, r, c, values)
	var plain *plainError
	switch {
	case errors.As(err, &plain):
		a := plainAnswer(plain.status, strings.TrimSuffix(plain.text, "\n"), true)
		a.body = []byte(plain.text)
		return s.refuse(in, a)
	case errors.Is(err, errDropped) || errors.Is(err, errClosed):
		return &answer{drop: true}
	case err != nil:
		a := s.refuse(in, s.failure(asAPIError(err), format))
		a.connection = s.connectionOf(r, c) // of extjs, whose errors are 200
		return a
	}
	a := s.spoil(r, success(data, format))
	a.connection, a.close = s.connectionOf(r, c), c.upload
	return a
}

// refuse logs a refusal.
func (s *Sim) refuse(in inbound, a *answer) *answer {
	s.logf("pvesim: %s %s: %d %s", in.method, in.path, a.status, firstLine(a.reason))
	return a
}

// handle checks credentials, faults, privileges, forwarding and parameters, in the order
// of the real server, and then runs the call.
func (s *Sim) handle(in inbound, r *request, c *call, values args) (any, error) {
	if err := s.authenticate(in, r, c); err != nil {
		return nil, s.refuseLogin(in.ctx, err)
	}
	if err := s.readArgs(in, r, c); err != nil {
		return nil, err
	}
	twice := conflict(r.args, values)
	r.args = merge(r.args, values)
	s.record(r)
	if err := s.meetFault(r); err != nil {
		return nil, err
	}
	if c == nil || c.absent {
		return nil, s.refuseAbsent(r, c)
	}
	if twice != nil {
		return nil, twice
	}
	return s.atWorker(r, c, func() (any, error) {
		if c.waits {
			if err := s.admit(r, c); err != nil {
				return nil, err
			}
			return c.serve(s, r)
		}
		s.lock()
		defer s.unlock()
		if err := s.admitLocked(r, c); err != nil {
			return nil, err
		}
		return c.serve(s, r)
	})
}

// refuseAbsent returns the error for a call that does not exist or is not simulated.
func (s *Sim) refuseAbsent(r *request, c *call) error {
	s.lock()
	defer s.unlock()
	if c != nil && c.may != nil {
		if err := c.may(s, r); err != nil {
			return err
		}
	}
	return &apiError{status: 501, reason: fmt.Sprintf("Method '%s %s' not implemented", r.method, r.path)}
}

// conflict refuses parameters that differ from those in the path.
func conflict(given, inPath args) error {
	for name := range inPath {
		if given.has(name) && given.get(name) != inPath.get(name) {
			return badParam(name, "duplicate parameter (already defined in URI) with conflicting values!")
		}
	}
	return nil
}

func (s *Sim) admit(r *request, c *call) error {
	s.lock()
	defer s.unlock()
	return s.admitLocked(r, c)
}

// admitLocked checks privileges, the host that must answer, and parameters.
func (s *Sim) admitLocked(r *request, c *call) error {
	if c.may != nil {
		if err := c.may(s, r); err != nil {
			if c.upload {
				asAPIError(err).bare = true
			}
			return err
		}
	}
	if name := c.proxy; name != "" && r.args.has(name) {
		if err := s.reach(r.args.get(name)); err != nil {
			return err
		}
	}
	return c.params.check(r.args)
}

// reach refuses hosts that do not exist or do not answer.
func (s *Sim) reach(node string) error {
	if node == "" {
		return die("internal error - proxyto_callback returned nothing")
	}
	h := s.hosts[node]
	if h == nil {
		why := "Name or service not known"
		if s.noDNS {
			why = "Temporary failure in name resolution"
		}
		return die("hostname lookup '%s' failed - failed to get address info for: %s: %s", node, node, why)
	}
	if h.Offline {
		return &apiError{status: 595, reason: "No route to host", bare: true}
	}
	return nil
}
