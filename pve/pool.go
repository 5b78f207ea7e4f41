package pve

import "context"

// CheckPool looks for a resource pool: a name under which VMs and storages are
// gathered, so that rights can be given on all of them. NotFound says that there is
// none of this name. Needs Pool.Audit on /pool/ID, without which it is Denied
// whether it exists or not.
func (c *Client) CheckPool(ctx context.Context, id string) error {
	call := get("/pools").with("poolid", id)
	var list []struct {
		ID string `json:"poolid" required:""`
	}
	if err := c.do(ctx, call, &list); err != nil {
		return err
	}
	for _, pool := range list {
		if pool.ID == id {
			return nil
		}
	}
	e := call.fail(NotFound, "the answer names no pool "+id, nil)
	e.What = "pool"
	return e
}
