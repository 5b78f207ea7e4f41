package pve

import (
	"context"
	"encoding/json"
)

// taskStatus returns the state of a task. A user or token may see its own tasks, and
// all tasks with Sys.Audit on the node.
func (c *Client) taskStatus(ctx context.Context, upid UPID) (taskStatus, error) {
	var status taskStatus
	err := c.do(ctx, get("/nodes/{}/tasks/{}/status", upid.Node, upid).at(upid.Node, 0), &status)
	return status, err
}

// TaskLog reads lines of a task's log, and returns the total number of lines. A limit
// of 0 means the server's default, 50.
func (c *Client) TaskLog(ctx context.Context, upid UPID, start, limit int) (lines []string, total int, err error) {
	call := get("/nodes/{}/tasks/{}/log", upid.Node, upid).at(upid.Node, 0).
		withInt("start", start).withInt("limit", limit)
	a, err := c.answer(ctx, call)
	if err != nil {
		return nil, 0, err
	}
	var log struct {
		Data []struct {
			Text string `json:"t"`
		} `json:"data"`
		Total int `json:"total"` // beside data, not in it
	}
	if err := decode(a, &log); err != nil {
		return nil, 0, call.fail(Unknown, "cannot read the answer: "+err.Error(), err)
	}
	for _, line := range log.Data {
		lines = append(lines, line.Text)
	}
	return lines, log.Total, nil
}

// StopTask interrupts a task, which then fails with "received interrupt". Stopping an
// ended task is not an error. Only tests use it, in the role of an administrator.
func (c *Client) StopTask(ctx context.Context, upid UPID) error {
	return c.do(ctx, del("/nodes/{}/tasks/{}", upid.Node, upid).at(upid.Node, upid.VMID()), nil)
}

// TaskFilter selects tasks; the zero value selects the last 50 ended tasks.
type TaskFilter struct {
	Source string // "archive" (ended, the default), "active" or "all"
	VMID   int
	Type   string // "qmstart"
	Limit  int    // 50 when zero
}

// TaskInfo is an entry of the list of tasks.
type TaskInfo struct {
	UPID      UPID   `json:"upid"`
	Type      string `json:"type"`
	StartTime int64  `json:"starttime"` // seconds since 1970
	EndTime   int64  `json:"endtime"`   // 0 while it runs
}

// Running reports whether the task has not ended.
func (i TaskInfo) Running() bool { return i.EndTime == 0 }

// Tasks lists the tasks of a node, the newest first.
func (c *Client) Tasks(ctx context.Context, node string, f TaskFilter) ([]TaskInfo, error) {
	call := get("/nodes/{}/tasks", node).at(node, f.VMID).
		with("source", f.Source).withInt("vmid", f.VMID).with("typefilter", f.Type).withInt("limit", f.Limit)
	var list []TaskInfo
	err := c.do(ctx, call, &list)
	return list, err
}

// ClusterTasks lists tasks of all nodes, unordered: the running ones, and some ended
// ones. A node updates its part whenever a task starts or ends; a killed task is
// noticed within ten seconds (pvestatd).
func (c *Client) ClusterTasks(ctx context.Context) ([]TaskInfo, error) {
	var list []TaskInfo
	err := c.do(ctx, get("/cluster/tasks"), &list)
	return list, err
}

// answer returns the whole answer, for the few calls that have fields besides data.
func (c *Client) answer(ctx context.Context, call *call) (json.RawMessage, error) {
	if err := call.check(); err != nil {
		return nil, err
	}
	a, err := c.run(ctx, call)
	if err == nil {
		err = a.parse(call, nil)
	}
	if err != nil {
		return nil, c.secrets.clean(err, call.secrets)
	}
	return a.body, nil
}
