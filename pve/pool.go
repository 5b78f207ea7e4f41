package pve

import "context"

// Pool is a resource pool: a name under which VMs and storages are gathered, so
// that rights can be given on all of them.
type Pool struct {
	ID      string `json:"poolid" required:""`
	Comment string `json:"comment"`
}

// Pool reads a resource pool; NotFound says that there is none of this name.
// Needs Pool.Audit on /pool/ID, without which it is Denied whether it exists or
// not.
func (c *Client) Pool(ctx context.Context, id string) (Pool, error) {
	call := get("/pools").with("poolid", id)
	var list []Pool
	if err := c.do(ctx, call, &list); err != nil {
		return Pool{}, err
	}
	for _, pool := range list {
		if pool.ID == id {
			return pool, nil
		}
	}
	e := call.fail(NotFound, "the answer names no pool "+id, nil)
	e.What = "pool"
	return Pool{}, e
}
