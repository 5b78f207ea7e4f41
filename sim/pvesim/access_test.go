package pvesim

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// field returns the error of a 400 for a parameter.
func (r *reply) field(name string) string {
	text, _ := r.errors[name].(string)
	return text
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// newToken creates a token and returns a client with it.
func (s *Sim) newToken(t *testing.T, by *client, user, name string, fields ...string) *client {
	t.Helper()
	made := by.do("POST", "/access/users/"+user+"/token/"+name, fields...).object()
	return s.as(t, made["full-tokenid"].(string)+"="+made["value"].(string))
}

// asUser returns a client with a ticket.
func (s *Sim) asUser(t *testing.T, user, password string) *client {
	t.Helper()
	c := s.as(t, "")
	got := c.do("POST", "/access/ticket", "username", user, "password", password).object()
	c.header.Set("Cookie", "PVEAuthCookie="+got["ticket"].(string))
	c.header.Set("CSRFPreventionToken", got["CSRFPreventionToken"].(string))
	return c
}

func TestALoginMadeOverTheAPIWorks(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		root.do("POST", "/access/users", "userid", "ops@pve", "password", "very-secret", "comment", "operators").ok()
		root.do("POST", "/access/roles", "roleid", "Watch", "privs", "VM.Audit, Sys.Audit").ok()
		ops := sim.asUser(t, "ops@pve", "very-secret")
		ops.do("GET", qemu("pve1", 100, "/config")).refused(403, "Permission check failed (/vms/100, VM.Audit)")
		root.do("PUT", "/access/acl", "path", "/vms/100", "roles", "Watch", "users", "ops@pve").ok()
		ops.do("GET", qemu("pve1", 100, "/config")).ok()
		ops.do("GET", qemu("pve1", 9000, "/config")).refused(403, "Permission check failed (/vms/9000, VM.Audit)")

		// A separated token has what both it and its user have.
		token := sim.newToken(t, ops, "ops@pve", "ci")
		token.do("GET", qemu("pve1", 100, "/config")).refused(403, "Permission check failed (/vms/100, VM.Audit)")
		root.do("PUT", "/access/acl", "path", "/vms", "roles", "Watch", "tokens", "ops@pve!ci").ok()
		token.do("GET", qemu("pve1", 100, "/config")).ok()
		token.do("GET", qemu("pve1", 9000, "/config")).refused(403, "Permission check failed (/vms/9000, VM.Audit)")
		// Without separation it is as good as its user.
		root.do("PUT", "/access/acl", "path", "/vms", "roles", "Watch", "tokens", "ops@pve!ci", "delete", "1").ok()
		token.do("GET", qemu("pve1", 100, "/config")).refused(403, "Permission check failed (/vms/100, VM.Audit)")
		root.do("PUT", "/access/users/ops@pve/token/ci", "privsep", "0").ok()
		token.do("GET", qemu("pve1", 100, "/config")).ok()

		ops.do("DELETE", "/access/users/ops@pve/token/ci").ok()
		token.do("GET", "/version").refused(401, "Authentication failed!")
		root.do("PUT", "/access/users/ops@pve", "enable", "0").ok()
		ops.do("GET", "/version").refused(401, "Authentication failed!")
		root.do("PUT", "/access/users/ops@pve", "enable", "1").ok()
		ops.do("GET", "/version").ok()
		root.do("DELETE", "/access/users/ops@pve").ok()
		ops.do("GET", "/version").refused(401, "Authentication failed!")
	})
}

func TestASecretIsShownOnceAndIsNewWhenItIsMadeAnew(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		world.Version = "9.2.11"
		sim := newSim(t, world)
		root := sim.asRoot(t, rootPass)
		const path = "/access/users/gpuworker@pve/token/ci"
		made := root.do("POST", path, "expire", "4000000000", "comment", "for CI").object()
		secret := made["value"].(string)
		want := map[string]any{"value": secret, "full-tokenid": "gpuworker@pve!ci",
			"info": map[string]any{"privsep": 1.0, "expire": "4000000000", "comment": "for CI"}}
		if diff := cmp.Diff(want, made); diff != "" {
			t.Errorf("the new token (-want +got):\n%s", diff)
		}
		for _, look := range []string{path, "/access/users/gpuworker@pve/token", "/access/users/gpuworker@pve", "/access/users?full=1"} {
			if got := root.do("GET", look).ok(); strings.Contains(got.body, secret) {
				t.Errorf("%s shows the secret", look)
			}
		}
		shown := map[string]any{"privsep": 1.0, "expire": 4e9, "comment": "for CI"}
		if diff := cmp.Diff(shown, root.do("GET", path).object()); diff != "" {
			t.Errorf("the token (-want +got):\n%s", diff)
		}
		first := sim.as(t, "gpuworker@pve!ci="+secret)
		first.do("GET", "/version").ok()
		again := root.do("PUT", path, "regenerate", "1", "delete", "comment").object()
		first.do("GET", "/version").refused(401, "Authentication failed!")
		sim.as(t, "gpuworker@pve!ci="+again["value"].(string)).do("GET", "/version").ok()
		if _, there := root.do("GET", path).object()["comment"]; there {
			t.Error("the comment is still there")
		}
	})
}

func TestASecretCannotBeMadeAnewBeforeNineTwo(t *testing.T) {
	sim := newSim(t, homelab(t))
	got := sim.asRoot(t, rootPass).do("PUT", "/access/users/gpuworker@pve/token/engine", "regenerate", "1")
	if got.code != 400 || got.field("regenerate") != unknownProperty {
		t.Errorf("got %d %s %v", got.code, got.reason, got.errors)
	}
}

func TestTokensExpire(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		token := sim.newToken(t, root, "root@pam", "short", "privsep", "0", "expire", "946684860") // a minute from now
		token.do("GET", "/version").ok()
		pause(t, 2*time.Minute)
		token.do("GET", "/version").refused(401, "Authentication failed!")
	})
}

func TestRolesAreReplacedExtendedAndTakenAway(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		root.do("POST", "/access/roles", "roleid", "Watch", "privs", "VM.Audit").ok()
		root.do("POST", "/access/users", "userid", "ops@pve").ok()
		root.do("PUT", "/access/acl", "path", "/", "roles", "Watch", "users", "ops@pve").ok()
		ops := sim.newToken(t, root, "ops@pve", "tk", "privsep", "0")
		privileges := func(want string) {
			t.Helper()
			var got []string
			for priv := range root.do("GET", "/access/roles/Watch").object() {
				got = append(got, priv)
			}
			if diff := cmp.Diff(strings.Fields(want), sorted(got)); diff != "" {
				t.Errorf("the role (-want +got):\n%s", diff)
			}
		}
		root.do("PUT", "/access/roles/Watch", "privs", "Sys.Audit;VM.Audit", "append", "1").ok()
		privileges("Sys.Audit VM.Audit")
		ops.do("GET", "/cluster/status").ok()
		root.do("PUT", "/access/roles/Watch", "privs", "VM.Audit").ok()
		privileges("VM.Audit")
		ops.do("GET", "/cluster/status").refused(403, "Permission check failed (/, Sys.Audit)")
		ops.do("GET", qemu("pve1", 100, "/config")).ok()

		// A role that somebody has can go, and what it gave goes with it.
		root.do("DELETE", "/access/roles/Watch").ok()
		ops.do("GET", qemu("pve1", 100, "/config")).refused(403, "Permission check failed (/vms/100, VM.Audit)")
		root.do("POST", "/access/roles", "roleid", "Watch", "privs", "VM.Audit").ok()
		ops.do("GET", qemu("pve1", 100, "/config")).refused(403, "Permission check failed (/vms/100, VM.Audit)")
	})
}

func TestGroupsGiveTheirMembersWhatTheyHave(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		root.do("POST", "/access/groups", "groupid", "staff", "comment", "operators").ok()
		root.do("POST", "/access/users", "userid", "ops@pve", "groups", "staff", "password", "very-secret").ok()
		root.do("PUT", "/access/acl", "path", "/vms", "roles", "PVEAuditor", "groups", "staff").ok()
		ops := sim.asUser(t, "ops@pve", "very-secret")
		ops.do("GET", qemu("pve1", 100, "/config")).ok()
		root.do("PUT", "/access/users/ops@pve", "groups", "").ok()
		ops.do("GET", qemu("pve1", 100, "/config")).refused(403, "Permission check failed (/vms/100, VM.Audit)")
		root.do("PUT", "/access/users/ops@pve", "groups", "staff", "append", "1").ok()
		ops.do("GET", qemu("pve1", 100, "/config")).ok()
		want := map[string]any{"comment": "operators", "members": []any{"ops@pve"}}
		if diff := cmp.Diff(want, root.do("GET", "/access/groups/staff").object()); diff != "" {
			t.Errorf("the group (-want +got):\n%s", diff)
		}
		root.do("DELETE", "/access/groups/staff").ok()
		ops.do("GET", qemu("pve1", 100, "/config")).refused(403, "Permission check failed (/vms/100, VM.Audit)")
	})
}

func TestRulesHoldBelowUnlessTheyDoNotPropagate(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		root.do("POST", "/access/users", "userid", "ops@pve").ok()
		ops := sim.newToken(t, root, "ops@pve", "tk", "privsep", "0")
		root.do("PUT", "/access/acl", "path", "vms//", "roles", "PVEAuditor", "users", "ops@pve", "propagate", "0").ok()
		ops.do("GET", qemu("pve1", 100, "/config")).refused(403, "Permission check failed (/vms/100, VM.Audit)")
		root.do("PUT", "/access/acl", "path", "/vms", "roles", "PVEAuditor", "users", "ops@pve").ok()
		ops.do("GET", qemu("pve1", 100, "/config")).ok()
		// What is nearer counts: nothing at all on this one.
		root.do("PUT", "/access/acl", "path", "/vms/100", "roles", "NoAccess", "users", "ops@pve").ok()
		ops.do("GET", qemu("pve1", 100, "/config")).refused(403, "Permission check failed (/vms/100, VM.Audit)")
		ops.do("GET", qemu("pve1", 9000, "/config")).ok()
		if got := rulesOf(root, "ops@pve"); cmp.Diff([]string{"/vms PVEAuditor", "/vms/100 NoAccess"}, got) != "" {
			t.Errorf("rules: %q", got)
		}
		// The rules of a VM go with it.
		root.done(root.do("POST", "/nodes/pve1/qemu", "vmid", "300"), "OK")
		root.do("PUT", "/access/acl", "path", "/vms/300", "roles", "PVEAdmin", "users", "ops@pve").ok()
		root.done(root.do("DELETE", qemu("pve1", 300)), "OK")
		if got := rulesOf(root, "ops@pve"); len(got) != 2 {
			t.Errorf("rules: %q", got)
		}
	})
}

// rulesOf returns a holder's rules: path and role.
func rulesOf(root *client, who string) []string {
	var out []string
	for _, entry := range root.do("GET", "/access/acl").list() {
		if rule := entry.(map[string]any); rule["ugid"] == who {
			out = append(out, rule["path"].(string)+" "+rule["roleid"].(string))
		}
	}
	return sorted(out)
}

// A user who may create VMs may grant its own privileges on a VM, and no others.
func TestWithoutPermissionsModifyOnlyOwnPrivilegesAreGranted(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		root.do("POST", "/access/roles", "roleid", "Maker", "privs", "VM.Allocate,VM.Audit").ok()
		root.do("POST", "/access/roles", "roleid", "Watch", "privs", "VM.Audit").ok()
		root.do("POST", "/access/users", "userid", "ops@pve", "password", "very-secret").ok()
		root.do("POST", "/access/users", "userid", "guest@pve").ok()
		give := func(c *client, path, role string, more ...string) *reply {
			return c.do("PUT", "/access/acl", append([]string{"path", path, "roles", role, "users", "guest@pve"}, more...)...)
		}
		ops := sim.asUser(t, "ops@pve", "very-secret")
		give(ops, "/vms/100", "Watch").refused(403, "Permission check failed (/vms/100, Permissions.Modify|VM.Allocate)")
		give(ops, "/vms", "Watch").refused(403, "Permission check failed (/vms, Permissions.Modify)")
		give(ops, "/storage/local", "Watch").refused(403, "Permission check failed (/storage/local, Permissions.Modify|Datastore.Allocate)")
		give(ops, "/pool/a", "Watch").refused(403, "Permission check failed (/pool/a, Permissions.Modify|Pool.Allocate)")

		root.do("PUT", "/access/acl", "path", "/vms/100", "roles", "Maker", "users", "ops@pve", "propagate", "0").ok()
		const failed = "ACL update failed: 400 Parameter verification failed."
		for what, tc := range map[string]struct {
			role, why string
			more      []string
		}{
			"a role with more than one has":  {"PVEVMAdmin", "Cannot add role 'PVEVMAdmin' - requires 'Permissions.Modify' or superset of privileges.", nil},
			"a role further down":            {"Watch", "Cannot add role 'Watch' with propagation - requires 'Permissions.Modify' or propagated superset of privileges.", nil},
			"taking a role with more away":   {"PVEVMAdmin", "Cannot remove role 'PVEVMAdmin' - requires 'Permissions.Modify' or superset of privileges.", []string{"delete", "1"}},
			"taking all away from somebody":  {"NoAccess", "Cannot add role 'NoAccess' - requires 'Permissions.Modify'", nil},
			"one that is fine, one too good": {"Watch,PVEVMAdmin", "Cannot add role 'PVEVMAdmin' - requires 'Permissions.Modify' or superset of privileges.", []string{"propagate", "0"}},
		} {
			got := give(ops, "/vms/100", tc.role, tc.more...).refused(500, failed)
			if !strings.Contains(got.body, `\nrole: `+tc.why+`\n`) {
				t.Errorf("%s: %s", what, got.body)
			}
		}
		if got := rulesOf(root, "guest@pve"); got != nil {
			t.Errorf("refused, and yet there are rules: %q", got)
		}
		give(ops, "/vms/100", "Watch", "propagate", "0").ok()
		if got := rulesOf(root, "guest@pve"); cmp.Diff([]string{"/vms/100 Watch"}, got) != "" {
			t.Errorf("rules: %q", got)
		}
	})
}

func TestWhoMayChangeUsers(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		for _, group := range []string{"staff", "crew"} {
			root.do("POST", "/access/groups", "groupid", group).ok()
		}
		root.do("POST", "/access/users", "userid", "boss@pve", "password", "very-secret").ok()
		root.do("POST", "/access/users", "userid", "ops@pve", "password", "ops-secret", "groups", "staff").ok()
		root.do("PUT", "/access/acl", "path", "/access/groups/staff", "roles", "PVEUserAdmin", "users", "boss@pve").ok()
		root.do("PUT", "/access/acl", "path", "/access/realm/pve", "roles", "PVEUserAdmin", "users", "boss@pve").ok()
		boss, ops := sim.asUser(t, "boss@pve", "very-secret"), sim.asUser(t, "ops@pve", "ops-secret")

		boss.do("GET", "/access/users/ops@pve").ok()
		boss.do("GET", "/access/users/gpuworker@pve").refused(403, "Permission check failed")
		boss.do("GET", "/access/users/nope@pve").refused(500, "no such user ('nope@pve')")
		boss.do("POST", "/access/users", "userid", "a@pve", "groups", "staff").ok()
		boss.do("POST", "/access/users", "userid", "b@pve").refused(403, "Permission check failed (/access/groups, User.Modify)")
		boss.do("POST", "/access/users", "userid", "b@pve", "groups", "staff,crew").refused(403, "Permission check failed (/access/groups/crew, User.Modify)")
		boss.do("POST", "/access/users", "userid", "b@pam", "groups", "staff").refused(403, "Permission check failed (/access/realm/pam, Realm.AllocateUser)")
		boss.do("PUT", "/access/users/a@pve", "comment", "x").refused(403, "Permission check failed (/access/groups, User.Modify)")
		boss.do("PUT", "/access/users/a@pve", "comment", "x", "groups", "staff").ok()
		boss.do("DELETE", "/access/users/a@pve").ok()

		// Everybody sees and changes the own tokens, but not by a token.
		if got := ops.do("GET", "/access/users").list(); len(got) != 1 || got[0].(map[string]any)["userid"] != "ops@pve" {
			t.Errorf("ops sees %v", got)
		}
		token := sim.newToken(t, ops, "ops@pve", "tk", "privsep", "0")
		if got := token.do("GET", "/access/users").list(); len(got) != 0 {
			t.Errorf("a token sees %v", got)
		}
		token.do("POST", "/access/users/ops@pve/token/more").refused(403, "Permission check failed")
		ops.do("POST", "/access/users/boss@pve/token/mine").refused(403, "Permission check failed")
		ops.do("GET", "/access/permissions", "userid", "ops@pve!tk").ok()
		token.do("GET", "/access/permissions", "userid", "ops@pve!tk").ok()
		token.do("GET", "/access/permissions", "userid", "ops@pve").refused(403, "Permission check failed (/access, Sys.Audit)")
	})
}

func TestPasswordsAreChangedByTheirOwnersAndBySomeOthers(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, rootPass)
		root.do("POST", "/access/users", "userid", "ops@pve", "password", "ops-secret").ok()
		ops := sim.asUser(t, "ops@pve", "ops-secret")
		change := func(c *client, user string, more ...string) *reply {
			return c.do("PUT", "/access/password", append([]string{"userid", user, "password", "new-secret"}, more...)...)
		}
		if got := change(ops, "ops@pve"); got.field("confirmation-password") != "password is required to modify user" {
			t.Errorf("without the old one: %d %s %v", got.code, got.reason, got.errors)
		}
		change(ops, "ops@pve", "confirmation-password", "wrong").refused(500, "invalid credentials")
		change(ops, "root@pam", "confirmation-password", "ops-secret").refused(403, "Permission check failed (/access/realm/pam, Realm.AllocateUser)")
		sim.as(t, engineToken).do("PUT", "/access/password", "userid", "ops@pve", "password", "new-secret").
			refused(403, "Permission check failed (URI '/access/password' not available with API token, need proper ticket.")
		change(ops, "ops@pve", "confirmation-password", "ops-secret").ok()
		ops.do("GET", "/version").ok() // the ticket lasts
		sim.asUser(t, "ops@pve", "new-secret")
		ops.do("POST", "/access/ticket", "username", "ops@pve", "password", "ops-secret").refused(401, "authentication failure")
		change(root, "root@pam").ok()
		sim.asUser(t, "root@pam", "new-secret")

		// A user who is made again has no password, an account of the host has.
		root.do("DELETE", "/access/users/ops@pve").ok()
		root.do("POST", "/access/users", "userid", "ops@pve").ok()
		ops.do("POST", "/access/ticket", "username", "ops@pve", "password", "new-secret").refused(401, "authentication failure")
		root.do("DELETE", "/access/users/root@pam").ok()
		sim.asUser(t, "root@pam", "new-secret")
	})
}

func TestAWorldDoesNotChangeWithItsSimulator(t *testing.T) {
	world := homelab(t)
	world.Groups = []Group{{ID: "staff", Users: []string{"gpuworker@pve"}}}
	sim := newSim(t, world)
	root := sim.asRoot(t, rootPass)
	root.do("DELETE", "/access/users/gpuworker@pve").ok()
	root.do("DELETE", "/access/roles/GpuWorkerVM").ok()
	again := homelab(t)
	again.Groups = []Group{{ID: "staff", Users: []string{"gpuworker@pve"}}}
	if diff := cmp.Diff(again, world); diff != "" {
		t.Errorf("the world (-before +after):\n%s", diff)
	}
}
