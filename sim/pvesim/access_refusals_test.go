package pvesim

import "testing"

// Each row: a call by root, and its error.
var accessRefusals = map[string]struct {
	method, path string
	fields       []string
	code         int
	reason       string
	field, text  string // of a 400
}{
	"a user that is there": {"POST", "/access/users", []string{"userid", "gpuworker@pve"}, 500,
		"create user failed: user 'gpuworker@pve' already exists", "", ""},
	"a user in a group that is not there": {"POST", "/access/users", []string{"userid", "new@pve", "groups", "nope"}, 500,
		"create user failed: no such group 'nope'", "", ""},
	"a password in a realm that is not there": {"POST", "/access/users", []string{"userid", "new@ldap", "password", "very-secret"}, 500,
		"create user failed: auth domain 'ldap' does not exist", "", ""},
	"a password for an account that the host does not have": {"POST", "/access/users", []string{"userid", "new@pam", "password", "very-secret"}, 500,
		"create user failed: change password failed: user 'new' does not exist", "", ""},
	"a password that is short": {"POST", "/access/users", []string{"userid", "new@pve", "password", "short"}, 400, "Parameter verification failed.",
		"password", "value must be at least 8 characters long"},
	"changing a user that is not there":          {"PUT", "/access/users/nope@pve", nil, 500, "update user failed: no such user ('nope@pve')", "", ""},
	"a token of a user that is not there":        {"POST", "/access/users/nope@pve/token/ci", nil, 500, "no such user ('nope@pve')", "", ""},
	"a token that is there":                      {"POST", "/access/users/gpuworker@pve/token/engine", nil, 400, "Parameter verification failed.", "tokenid", "Token already exists."},
	"reading a token that is not there":          {"GET", "/access/users/gpuworker@pve/token/nope", nil, 500, "no such token 'nope' for user 'gpuworker@pve'", "", ""},
	"changing a token that is not there":         {"PUT", "/access/users/gpuworker@pve/token/nope", nil, 500, "no such token 'nope' for user 'gpuworker@pve'", "", ""},
	"removing a token that is not there":         {"DELETE", "/access/users/gpuworker@pve/token/nope", nil, 500, "no such token 'nope' for user 'gpuworker@pve'", "", ""},
	"taking away a setting that a token has not": {"PUT", "/access/users/gpuworker@pve/token/engine", []string{"delete", "expire"}, 500, "updating token info failed: 400 Parameter verification failed.", "", ""},
	"a role that is there":                       {"POST", "/access/roles", []string{"roleid", "GpuWorkerVM"}, 500, "create role failed: role 'GpuWorkerVM' already exists", "", ""},
	"a role named like those of Proxmox": {"POST", "/access/roles", []string{"roleid", "pveMine"}, 400, "Parameter verification failed.",
		"roleid", "cannot use role ID starting with the (case-insensitive) 'PVE' namespace"},
	"a role with a privilege that is none": {"POST", "/access/roles", []string{"roleid", "X", "privs", "VM.Audit,VM.Monitor"}, 400, "Parameter verification failed.",
		"privs", "invalid format - invalid privilege 'VM.Monitor'\n"},
	"changing a built-in role":             {"PUT", "/access/roles/PVEAdmin", []string{"privs", "VM.Audit"}, 500, "auto-generated role 'PVEAdmin' cannot be modified", "", ""},
	"removing a built-in role":             {"DELETE", "/access/roles/Administrator", nil, 500, "auto-generated role 'Administrator' cannot be deleted", "", ""},
	"changing a role that is not there":    {"PUT", "/access/roles/nope", nil, 500, "update role failed: role 'nope' does not exist", "", ""},
	"removing a role that is not there":    {"DELETE", "/access/roles/nope", nil, 500, "delete role failed: role 'nope' does not exist", "", ""},
	"a group that is there":                {"POST", "/access/groups", []string{"groupid", "crew"}, 500, "create group failed: group 'crew' already exists", "", ""},
	"removing a group that is not there":   {"DELETE", "/access/groups/nope", nil, 500, "delete group failed: group 'nope' does not exist", "", ""},
	"a rule for nobody":                    {"PUT", "/access/acl", []string{"path", "/", "roles", "PVEAdmin"}, 400, "Parameter verification failed.", "tokens", "either 'users', 'groups' or 'tokens' is required."},
	"a rule on a path that is none":        {"PUT", "/access/acl", rule("/nope", "PVEAdmin", "users", "gpuworker@pve"), 400, "Parameter verification failed.", "path", "invalid ACL path '/nope'"},
	"a rule on a path with a blank":        {"PUT", "/access/acl", rule("/vms/1 0", "PVEAdmin", "users", "gpuworker@pve"), 400, "Parameter verification failed.", "path", "invalid ACL path '/vms/1 0'"},
	"a rule with a role that is not there": {"PUT", "/access/acl", rule("/", "nope", "users", "gpuworker@pve"), 500, "ACL update failed: role 'nope' does not exist", "", ""},
	"a rule for a user that is not there":  {"PUT", "/access/acl", rule("/", "PVEAdmin", "users", "nope@pve"), 500, "ACL update failed: user 'nope@pve' does not exist", "", ""},
	"a rule for a group that is not there": {"PUT", "/access/acl", rule("/", "PVEAdmin", "groups", "nope"), 500, "ACL update failed: group 'nope' does not exist", "", ""},
	"a rule for a token that is not there": {"PUT", "/access/acl", rule("/", "PVEAdmin", "tokens", "gpuworker@pve!nope"), 500, "ACL update failed: no such token 'nope' for user 'gpuworker@pve'", "", ""},
	"a rule for a token of nobody":         {"PUT", "/access/acl", rule("/", "PVEAdmin", "tokens", "nope@pve!x1"), 500, "ACL update failed: no such user ('nope@pve')", "", ""},
	"a name in the path and another beside it": {"PUT", "/access/users/gpuworker@pve", []string{"userid", "root@pam"}, 400, "Parameter verification failed.",
		"userid", "duplicate parameter (already defined in URI) with conflicting values!"},
	"a password for a user that is not there": {"PUT", "/access/password", []string{"userid", "nope@pve", "password", "very-secret"}, 500,
		"no such user ('nope@pve')", "", ""},
}

func rule(path, role, kind, who string) []string {
	return []string{"path", path, "roles", role, kind, who}
}

func TestWhatIsWrongWithUsersAndRulesIsSaidAsTheRealServerSaysIt(t *testing.T) {
	world := homelab(t)
	world.Groups = []Group{{ID: "crew"}}
	sim := newSim(t, world)
	root := sim.asRoot(t, rootPass)
	for name, tc := range accessRefusals {
		t.Run(name, func(t *testing.T) {
			got := (&client{t: t, base: root.base, http: root.http, header: root.header}).do(tc.method, tc.path, tc.fields...).refused(tc.code, tc.reason)
			if text := got.field(tc.field); tc.field != "" && text != tc.text {
				t.Errorf("%s: %q, want %q", tc.field, text, tc.text)
			}
		})
	}
}
