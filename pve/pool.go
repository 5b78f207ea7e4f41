package pve

import "context"

// CheckPool checks whether a resource pool exists: a named group of VMs and storages
// for granting permissions. If it does not exist, the error is NotFound. Needs
// Pool.Audit on /pool/ID; without it the error is Denied in both cases.
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
	e := call.fail(NotFound, "the answer has no pool "+id, nil)
	e.What = "pool"
	return e
}
