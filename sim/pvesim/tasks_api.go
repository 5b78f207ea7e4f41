package pvesim

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var upidForm = regexp.MustCompile(`^UPID:([a-zA-Z0-9-]+):([0-9A-Fa-f]{8}):([0-9A-Fa-f]{8,9}):([0-9A-Fa-f]{8}):([^:\s]+):([^:\s]*):([^:\s]+):$`)

func taskCalls() []call {
	list := specs{
		"start": integer().atLeast(0), "limit": integer().atLeast(0), "userfilter": text(), "typefilter": text(),
		"vmid": vmidSpec(), "errors": boolean(), "source": oneOf("archive", "active", "all"), "since": integer(), "until": integer(),
		"statusfilter": formatted(taskStatusFormat).asList(),
	}
	return []call{
		{method: "GET", path: "/nodes/{node}/tasks", params: list, serve: (*Sim).listTasks},
		{method: "GET", path: "/nodes/{node}/tasks/{upid}", proxy: anyHost, serve: index("name", "log", "status")},
		{method: "GET", path: "/nodes/{node}/tasks/{upid}/status", serve: (*Sim).taskStatus, protected: true},
		{method: "GET", path: "/nodes/{node}/tasks/{upid}/log", serve: (*Sim).taskLog, protected: true,
			params: specs{"start": integer().atLeast(0), "limit": integer().atLeast(0), "download": boolean()}},
		{method: "DELETE", path: "/nodes/{node}/tasks/{upid}", serve: (*Sim).stopTask, protected: true},
		{method: "GET", path: "/cluster/tasks", serve: (*Sim).clusterTasks},
	}
}

// mine reports whether a task belongs to the caller: a token sees its own tasks, a user
// with a ticket also those of its tokens.
func mine(caller identity, t *task) bool {
	return caller == t.caller || caller.token == "" && caller.user == t.caller.user
}

// findTask returns the task of a UPID; for tasks of others the caller needs the
// privilege.
func (s *Sim) findTask(r *request, priv string) (*task, error) {
	upid := r.args.get("upid")
	if !upidForm.MatchString(upid) {
		return nil, badParam("upid", "unable to parse worker upid")
	}
	t := s.byUPID[upid]
	if t == nil || t.node != r.node() {
		return nil, badParam("upid", "no such task")
	}
	if !mine(r.caller, t) {
		if err := s.need(r.caller, "/nodes/"+r.node(), priv); err != nil {
			return t, err
		}
	}
	return t, nil
}

func (t *task) fields() map[string]any {
	out := map[string]any{
		"upid": t.upid, "node": t.node, "pid": t.pid, "pstart": t.pstart, "starttime": t.start.Unix(),
		"type": t.kind, "id": t.id, "user": t.caller.user,
	}
	if t.caller.token != "" {
		out["tokenid"] = t.caller.token
	}
	return out
}

func (s *Sim) taskStatus(r *request) (any, error) {
	t, err := s.findTask(r, "Sys.Audit")
	if err != nil {
		return nil, err
	}
	out := t.fields()
	out["status"] = t.status()
	if t.exit != "" {
		out["exitstatus"] = t.exit
	}
	return out, nil
}

func (s *Sim) taskLog(r *request) (any, error) {
	t, err := s.findTask(r, "Sys.Audit")
	lines := []string{"unable to open file - No such file or directory"}
	switch {
	case err != nil && (t != nil || !upidForm.MatchString(r.args.get("upid"))):
		return nil, err
	case t != nil:
		lines = t.log
	}
	if r.args.flag("download") {
		return download(strings.Join(lines, "\n") + "\n"), nil
	}
	out := []any{}
	start, limit := r.args.number("start", 0), r.args.number("limit", 50)
	for i := start; i < len(lines) && (limit == 0 || i < start+limit); i++ {
		out = append(out, map[string]any{"n": i + 1, "t": lines[i]})
	}
	return listing{out, len(lines)}, nil
}

// stopTask interrupts a task; it has no effect on an ended one.
func (s *Sim) stopTask(r *request) (any, error) {
	t, err := s.findTask(r, "Sys.Modify")
	if err != nil {
		return nil, err
	}
	if t.exit == "" {
		t.cancel(errInterrupted)
	}
	return nil, nil
}

func (s *Sim) listTasks(r *request) (any, error) {
	all := s.may(r.caller, "/nodes/"+r.node(), "Sys.Audit")
	var found []*task
	for _, t := range slices.Backward(s.tasks) {
		if t.node == r.node() && (all || mine(r.caller, t)) && matchesTask(t, r.args) {
			found = append(found, t)
		}
	}
	out := []any{}
	start, limit := r.args.number("start", 0), r.args.number("limit", 50)
	for i := start; i < len(found) && i < start+limit; i++ {
		out = append(out, found[i].listEntry())
	}
	if len(found) == 0 {
		return out, nil
	}
	return listing{out, len(found)}, nil
}

func (t *task) listEntry() map[string]any {
	entry := t.fields()
	if t.exit != "" {
		entry["endtime"], entry["status"] = t.end.Unix(), t.exit
	}
	return entry
}

func matchesTask(t *task, a args) bool {
	running := t.exit == ""
	if source := a.get("source"); source != "all" && running != (source == "active") {
		return false
	}
	good := t.exit == "OK"
	if a.flag("errors") && (good || running) {
		return false
	}
	state := "error"
	switch {
	case good:
		state = "ok"
	case strings.HasPrefix(t.exit, "WARNINGS: "):
		state = "warning"
	}
	if filter := splitList(a.get("statusfilter")); len(filter) > 0 && !slices.Contains(filter, state) {
		return false
	}
	since, _ := strconv.ParseInt(a.get("since"), 10, 64)
	until, _ := strconv.ParseInt(a.get("until"), 10, 64)
	return (!a.has("vmid") || a.get("vmid") == t.id) &&
		(!a.has("typefilter") || a.get("typefilter") == t.kind) &&
		strings.Contains(t.caller.user, a.get("userfilter")) &&
		(since == 0 || t.start.Unix() >= since) && (until == 0 || t.start.Unix() <= until)
}

// keptTasks is the number of ended tasks that each host reports to the cluster.
const keptTasks = 25

// clusterTasks lists the tasks that the hosts report to each other: all running ones,
// and the last ended ones.
func (s *Sim) clusterTasks(r *request) (any, error) {
	out, over := []any{}, map[string]int{}
	for _, t := range slices.Backward(s.tasks) {
		if t.exit != "" {
			if over[t.node]++; over[t.node] > keptTasks {
				continue
			}
		}
		if mine(r.caller, t) || s.may(r.caller, "/nodes/"+t.node, "Sys.Audit") {
			out = append(out, t.listEntry())
		}
	}
	return out, nil
}

// taskStatusFormat accepts kinds of exit status.
func taskStatusFormat(_, v string) string {
	for _, status := range splitList(v) {
		if !slices.Contains([]string{"ok", "error", "warning", "unknown"}, strings.ToLower(status)) {
			return fmt.Sprintf("invalid status '%s'", status)
		}
	}
	return ""
}
