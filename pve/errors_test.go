package pve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestTheCauseOfAnErrorIsPreserved(t *testing.T) {
	ctx := context.Background()
	update := func(c *Client) error {
		return c.UpdateConfig(ctx, "pve1", 101, ConfigUpdate{Set: map[string]string{"hostpci0": "0000:3b:00.0"}})
	}
	tests := []struct {
		name  string
		reply reply
		want  Error
		text  string
	}{
		{
			"in the reason phrase and the body, as PVE 9 answers",
			dies(500, "only root can set 'hostpci0' config for non-mapped devices"),
			Error{Kind: Denied, Status: 500},
			"PUT /nodes/pve1/qemu/101/config: only root can set 'hostpci0' config for non-mapped devices (500)",
		},
		{
			"in the reason phrase only, as PVE 8.3 answers",
			reply{status: 500, reason: "VM is locked (clone)", body: `{"data":null}`},
			Error{Kind: Locked, Status: 500},
			"PUT /nodes/pve1/qemu/101/config: VM is locked (clone) (500)",
		},
		{
			"in the body when a proxy has replaced the reason",
			reply{status: 500, reason: "Internal Server Error", body: `{"data":null,"message":"VM is locked (backup)\n"}`},
			Error{Kind: Locked, Status: 500},
			"PUT /nodes/pve1/qemu/101/config: VM is locked (backup) (500)",
		},
		{
			"for each parameter that was refused",
			reply{status: 400, reason: "Parameter verification failed.", body: `{"data":null,"message":"Parameter verification failed.\n",
				"errors":{"net0":"invalid format - format error\nnet0.tag: value must have a maximum value of 4094\n","cores":"value must have a minimum value of 1"}}`},
			Error{Kind: Invalid, Status: 400, Params: map[string]string{
				"net0": "invalid format - format error\nnet0.tag: value must have a maximum value of 4094", "cores": "value must have a minimum value of 1",
			}},
			"PUT /nodes/pve1/qemu/101/config: Parameter verification failed: cores: value must have a minimum value of 1; " +
				"net0: invalid format - format error; net0.tag: value must have a maximum value of 4094 (400)",
		},
		{
			"with the privilege that is missing",
			dies(403, "Permission check failed (/vms/101, VM.Config.HWType)"),
			Error{Kind: Denied, Status: 403},
			"PUT /nodes/pve1/qemu/101/config: Permission check failed (/vms/101, VM.Config.HWType) (403)",
		},
		{
			"from a 401 that has no body",
			reply{raw: "HTTP/1.1 401 Authentication failed!\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"},
			Error{Kind: Unauthenticated, Status: 401},
			"PUT /nodes/pve1/qemu/101/config: Authentication failed! (401)",
		},
		{
			"from a 501 in plain text",
			reply{raw: "HTTP/1.1 501 Not Implemented\r\nConnection: close\r\n\r\nUnexpected content for method 'DELETE'"},
			Error{Kind: Unsupported, Status: 501},
			"PUT /nodes/pve1/qemu/101/config: Unexpected content for method 'DELETE' (501)",
		},
		{
			"without Perl's line numbers",
			dies(500, "VM is locked (clone) at /usr/share/perl5/PVE/AbstractConfig.pm line 421."),
			Error{Kind: Locked, Status: 500},
			"PUT /nodes/pve1/qemu/101/config: VM is locked (clone) (500)",
		},
		{
			"from between the nodes, where nothing was sent on",
			dies(595, "No route to host"),
			Error{Kind: Unavailable, Status: 595},
			"PUT /nodes/pve1/qemu/101/config: No route to host (595)",
		},
		{
			"from between the nodes, where it may have been",
			dies(596, "Connection timed out"),
			Error{Kind: Unavailable, Status: 596, Ambiguous: true},
			"PUT /nodes/pve1/qemu/101/config: Connection timed out (596); it is not known whether the request was carried out: check the state before sending it again",
		},
		{
			"also when nobody knows the text",
			dies(500, "something new"),
			Error{Kind: Unknown, Status: 500},
			"PUT /nodes/pve1/qemu/101/config: something new (500)",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := overHTTP(t, inTurn(tt.reply))
			e := mustError(t, update(c))
			if got := e.Error(); got != tt.text {
				t.Errorf("text %q\nwant %q", got, tt.text)
			}
			want := tt.want
			want.Method, want.Path, want.Node, want.VMID = "PUT", "/nodes/pve1/qemu/101/config", "pve1", 101
			got := *e
			got.Reason, got.Message, got.passing = "", "", false
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %#v\nwant %#v", &got, &want)
			}
		})
	}
}

func TestAnAnswerOfAnotherServerIsDescribed(t *testing.T) {
	ctx := context.Background()
	read := func(c *Client) error { _, err := c.Version(ctx); return err }
	write := func(c *Client) error { return c.DeleteMapping(ctx, "m") }
	page := "<!DOCTYPE html>\n<html><head><title>Sign in &amp;\n go on</title></head></html>"
	tests := []struct {
		name      string
		do        func(*Client) error
		reply     reply
		text      string
		ambiguous bool
	}{
		{"a web page", read, reply{status: 200, reason: "OK", body: page}, "is this a Proxmox VE API? got HTML: Sign in &; go on", false},
		{"a web page without a title", read, reply{status: 200, reason: "OK", body: "<p>hello"}, "is this a Proxmox VE API? got HTML", false},
		{"a web page for an error", read, reply{status: 404, reason: "Not Found", body: page}, "got HTML: Sign in &; go on (404)", false},
		{"a web page for a write", write, reply{status: 200, reason: "OK", body: page}, "got HTML: Sign in", true},
		{"a text", read, reply{status: 200, reason: "OK", body: "hello"}, `got "hello"`, false},
		{"nothing", write, reply{status: 200, reason: "OK"}, "the answer is empty", true},
		{"half a document", read, reply{status: 200, reason: "OK", body: `{"data":{"version":"9.`}, "an incomplete JSON document of 22 bytes", false},
		{"half a document for a write", write, reply{status: 200, reason: "OK", body: `{"da`}, "an incomplete JSON document", true},
		{"another API's JSON", read, reply{status: 200, reason: "OK", body: `{"version":"1"}`}, `JSON without "data"`, false},
		{"a list", read, reply{status: 200, reason: "OK", body: `[1]`}, `JSON without "data"`, false},
		{"a redirect", read, reply{raw: "HTTP/1.1 302 Found\r\nLocation: https://sso.test/login\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"}, `redirected to "https://sso.test/login"`, false},
		{"a redirect of a write", write, reply{raw: "HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"}, `redirected to "/x"`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, s := overHTTP(t, inTurn(tt.reply))
			e := mustError(t, tt.do(c))
			mustContain(t, e.Error(), tt.text)
			if e.Kind != Unavailable || e.Ambiguous != tt.ambiguous {
				t.Errorf("kind %s, ambiguous %v, want %v", e.Kind, e.Ambiguous, tt.ambiguous)
			}
			if n := len(s.requests()); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

func TestAnAnswerOfAnotherShapeIsAnError(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name, data, text string
		do               func(*Client) error
	}{
		{"a text for an object", `"x"`, "data should be an object", func(c *Client) error { _, err := c.Version(ctx); return err }},
		{"an object for a list", `{"a":1}`, "data should be a list", func(c *Client) error { _, err := c.Nodes(ctx); return err }},
		{"a word for a number", `[{"vmid":"many"}]`, `data[0].vmid should be an integer, but is "many"`, func(c *Client) error { _, err := c.Resources(ctx, ""); return err }},
		{"a word for a task", `"done"`, `"done" is not a task id`, func(c *Client) error { _, err := c.Stop(ctx, "pve1", 1); return err }},
		{"null for a task", `null`, "names no task", func(c *Client) error { _, err := c.Stop(ctx, "pve1", 1); return err }},
		{"an object for an option", `{"cores":{"a":1}}`, "data.cores should be a string", func(c *Client) error { return c.do(ctx, get("/x"), new(map[string]string)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := inProcess(t, inTurn(says(tt.data)))
			e := mustError(t, tt.do(c))
			mustContain(t, e.Error(), tt.text)
			if e.Kind != Unknown {
				t.Errorf("kind %s", e.Kind)
			}
			if e.Ambiguous != (e.Method != "GET") {
				t.Errorf("%s: ambiguous %v", e.Method, e.Ambiguous)
			}
		})
	}
}

func TestALockOfTheNewIDMeansThatTheIDIsInUse(t *testing.T) {
	ctx := context.Background()
	clone := func(c *Client) error {
		_, err := c.Clone(ctx, "pve1", 9000, CloneOptions{NewID: 9105})
		return err
	}
	for text, want := range map[string]Kind{
		"can't lock file '/var/lock/qemu-server/lock-9105.conf' - got timeout":           Exists,
		"can't lock file '/var/lock/qemu-server/lock-9000.conf' - got timeout":           Locked,
		"can't lock file '/var/lock/pve-manager/pve-storage-local-lvm' - got timeout":    Locked,
		"unable to create VM 9105: config file already exists":                           Exists,
		"unable to find configuration file for VM 9000 on node 'pve1'":                   NotFound,
		"Permission check failed (/storage/images, Datastore.AllocateSpace)":             Denied,
		"only root can set 'hostpci0' config for non-mapped devices":                     Denied,
		"close (rename) atomic file '/etc/pve/nodes/x/9105.conf' failed: File exists":    Exists,
		"clone failed: cfs-lock 'storage-ceph' error: got lock request timeout":          Locked,
		"can't lock file '/var/lock/qemu-server/lock-9105.conf' - Permission denied odd": Exists,
	} {
		c, _ := inProcess(t, inTurn(dies(500, text)))
		if got := KindOf(clone(c)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	c, _ := inProcess(t, inTurn(dies(500, "can't lock file '/var/lock/qemu-server/lock-101.conf' - got timeout")))
	if _, err := c.Stop(ctx, "pve1", 102); KindOf(err) != Locked {
		t.Errorf("of any other call it is just a lock: %v", err)
	}
}

func TestKindOfReadsAnyError(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want Kind
	}{
		{"no error", nil, ""},
		{"ours", &Error{Kind: Locked}, Locked},
		{"ours below another", fmt.Errorf("attach: %w", &Error{Kind: Changed}), Changed},
		{"the first of two", &Error{Kind: Canceled, Cause: &Error{Kind: Unavailable}}, Canceled},
		{"a canceled context", fmt.Errorf("x: %w", context.Canceled), Canceled},
		{"a passed deadline", context.DeadlineExceeded, Canceled},
		{"somebody else's", errors.New("x"), Unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := KindOf(tt.err); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAnErrorIsLoggedWithSearchableFields(t *testing.T) {
	var log lockedBuffer
	var o Options
	logInto(&log)(&o)
	o.Logger.Info("start", "err", &Error{Kind: InUse, Node: "pve1", VMID: 101, Task: mustUPID(testUPID), Message: "in use"})
	mustContain(t, log.String(), "err.kind=InUse", "err.node=pve1", "err.vmid=101", "err.task="+testUPID)
}

func TestAnErrorWithoutAMessageStillSaysSomething(t *testing.T) {
	if got := (&Error{Kind: Unknown}).Error(); got != "Unknown" {
		t.Errorf("got %q", got)
	}
	if got := (&Error{Cause: errors.New("below")}).Error(); !strings.Contains(got, "below") {
		t.Errorf("got %q", got)
	}
}

func TestTheTextOfAnErrorIsShortened(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	e := &Error{
		Method: "GET", Path: "/nodes/" + long, Message: long, Params: map[string]string{"net0": long},
		Log: []string{long + "1", long + "2", long + "3", long + "4", long + "5", long + "6"},
	}
	if text := e.Error(); len(text) > 10_000 || !strings.Contains(text, "x…") {
		t.Errorf("%d bytes: %.100s", len(text), text)
	}
}

// TestAnEntryWithoutItsNameIsRefused: otherwise it would be a VM with number 0, or a
// node without a name.
func TestAnEntryWithoutItsNameIsRefused(t *testing.T) {
	ctx := context.Background()
	for data, do := range map[string]func(*Client) error{
		`[{"node":"pve1","status":"online"},{"status":"online"}]`: func(c *Client) error { _, err := c.Nodes(ctx); return err },
		`[{"id":"qemu/101","type":"qemu","node":"pve1"}]`:         func(c *Client) error { _, err := c.Resources(ctx, "vm"); return err },
		`[{"id":"qemu/101","type":"qemu","vmid":101}]`:            func(c *Client) error { _, err := c.Resources(ctx, "vm"); return err },
		`[{"vmid":101}]`:                func(c *Client) error { _, err := c.VMs(ctx, "pve1"); return err },
		`{"status":"running"}`:          func(c *Client) error { _, err := c.VMStatus(ctx, "pve1", 101); return err },
		`null`:                          func(c *Client) error { _, err := c.VMStatus(ctx, "pve1", 101); return err },
		`[{"value":"4"}]`:               func(c *Client) error { _, err := c.Pending(ctx, "pve1", 101); return err },
		`[{"description":"","map":[]}]`: func(c *Client) error { _, err := c.Mappings(ctx); return err },
		`[{"id":"0000:03:00.0"}]`:       func(c *Client) error { _, err := c.PCIDevices(ctx, "pve1"); return err },
		`[{"storage":"local"}]`:         func(c *Client) error { _, err := c.Storages(ctx, "pve1"); return err },
		`[{"iface":"vmbr0"}]`:           func(c *Client) error { _, err := c.Networks(ctx, "pve1"); return err },
		`[{"type":"cluster"}]`:          func(c *Client) error { _, err := c.ClusterStatus(ctx); return err },
		`{"exitstatus":"OK"}`:           func(c *Client) error { _, err := c.taskStatus(ctx, mustUPID(testUPID)); return err },
	} {
		c, _ := inProcess(t, inTurn(says(data)))
		e := mustError(t, do(c))
		if e.Kind != Unknown || !strings.Contains(e.Message, "cannot read the answer: ") {
			t.Errorf("%s: %s, %v", data, e.Kind, e)
		}
	}
}

func TestAnErrorIsShortWhateverTheServerAnswers(t *testing.T) {
	long := strings.Repeat("spam ", 200_000)
	complaints := map[string]string{}
	for i := range 5000 {
		complaints[fmt.Sprint("option", i)] = long[:10_000]
	}
	body, err := json.Marshal(map[string]any{"data": nil, "message": long, "errors": complaints})
	if err != nil {
		t.Fatal(err)
	}
	for name, reply := range map[string]reply{
		"a message":  {status: 500, reason: "no", body: `{"data":null,"message":"` + long + `"}`},
		"a text":     {status: 501, reason: "no", body: long},
		"complaints": {status: 400, reason: "no", body: string(body)},
		"a title":    {status: 502, reason: "no", body: "<title>" + long},
	} {
		c, _ := inProcess(t, inTurn(reply))
		if e := mustError(t, c.UpdateConfig(context.Background(), "pve1", 101, ConfigUpdate{Delete: []string{"net0"}})); len(e.Error()) > 30_000 {
			t.Errorf("%s: %d bytes", name, len(e.Error()))
		}
	}
}
