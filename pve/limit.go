package pve

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// Limit limits the number of concurrent requests. Several clients may share one Limit.
// The time that a request waits for its turn does not count towards its timeout, and
// the wait ends with its context.
//
// There is a second limit for the requests to each node, because by default a node has
// only three workers (pvedaemon, pveproxy), which browsers use too. Only one request
// at a time may call a guest agent: without an agent, it keeps a worker busy for 3 s.
type Limit struct {
	total   chan struct{}
	perNode int

	mu    sync.Mutex
	nodes map[nodeKey]*nodeLimit
}

// nodeKey identifies a node: different clusters may have nodes of the same name.
type nodeKey struct{ base, node string }

type nodeLimit struct{ all, agents chan struct{} }

// NewLimit returns a limit for all requests (total) and for those to one node (perNode).
func NewLimit(total, perNode int) *Limit {
	return &Limit{total: make(chan struct{}, total), perNode: perNode, nodes: map[nodeKey]*nodeLimit{}}
}

// Total is the maximum number of concurrent requests.
func (l *Limit) Total() int { return cap(l.total) }

// enter waits for a turn and returns the function that ends it.
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

// asksAgent reports whether the call needs an answer of a guest agent.
func (c *call) asksAgent() bool {
	return c.vmid != 0 && strings.Contains(c.path, fmt.Sprintf("/qemu/%d/agent/", c.vmid))
}

// bounded lets a call wait for its turn. Calls without a node are answered by the node
// of the endpoint and have a limit like those of one node.
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
