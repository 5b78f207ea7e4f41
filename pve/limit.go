package pve

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// Limit bounds how many requests are under way at once. Clients that share one
// are bounded together. Waiting for a turn does not count towards a request's
// time limit, and ends with its context.
//
// There is a second bound for the requests about each node, since a node answers
// with three workers by default (pvedaemon, pveproxy), which people's browsers
// use too. Of these, one at a time asks a guest agent: without an agent such a
// request keeps a worker busy for 3 s.
type Limit struct {
	total   chan struct{}
	perNode int

	mu    sync.Mutex
	nodes map[nodeKey]*nodeLimit
}

// nodeKey is a node of a cluster: different clusters may use the same names.
type nodeKey struct{ base, node string }

type nodeLimit struct{ all, agents chan struct{} }

// NewLimit makes a limit of so many requests in total, and about one node.
func NewLimit(total, perNode int) *Limit {
	return &Limit{total: make(chan struct{}, total), perNode: perNode, nodes: map[nodeKey]*nodeLimit{}}
}

// Total is how many requests may be under way at once.
func (l *Limit) Total() int { return cap(l.total) }

// enter waits for a turn, and returns how to end it.
func (l *Limit) enter(ctx context.Context, base string, c *call) (leave func(), err error) {
	node := l.node(nodeKey{base, c.node})
	turns := []chan struct{}{node.all, l.total}
	if c.asksAgent() {
		turns = append([]chan struct{}{node.agents}, turns...)
	}
	for i, turn := range turns {
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			leaveAll(turns[:i])
			return nil, ctx.Err()
		}
	}
	return func() { leaveAll(turns) }, nil
}

func leaveAll(turns []chan struct{}) {
	for _, turn := range turns {
		<-turn
	}
}

func (l *Limit) node(key nodeKey) *nodeLimit {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nodes[key] == nil {
		l.nodes[key] = &nodeLimit{all: make(chan struct{}, l.perNode), agents: make(chan struct{}, 1)}
	}
	return l.nodes[key]
}

// asksAgent reports whether the call waits for a guest agent.
func (c *call) asksAgent() bool {
	return c.vmid != 0 && strings.Contains(c.path, fmt.Sprintf("/qemu/%d/agent/", c.vmid))
}

// bounded lets a call wait for its turn. Calls about no node are answered by the
// node of the endpoint, and bounded like those about one.
func bounded(limit *Limit, base string, next handler) handler {
	if limit == nil {
		return next
	}
	return func(ctx context.Context, c *call) (*answer, error) {
		leave, err := limit.enter(ctx, base, c)
		if err != nil {
			return nil, c.fail(Canceled, "canceled before it was sent: "+err.Error(), err)
		}
		defer leave()
		return next(ctx, c)
	}
}
