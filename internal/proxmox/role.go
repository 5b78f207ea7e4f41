package proxmox

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/internal/term"
)

// The user and the token that the printed commands create.
const (
	roleUser  = "gpuworker@pve"
	roleToken = "engine"
)

// Role returns a shell script that creates a least-privilege user, token, roles and
// access rules, and the resource pools of the documents. It is run as root on any
// host of the cluster and may be repeated. Each path has its own role, so that each
// grant contains only what is needed there.
func (b *Backend) Role(version string, scope hypervisor.Scope) string {
	// A clone also needs the right to the template's bridge, which is not known
	// here: so the right is given on all local bridges.
	scope.Bridges = []string{""}
	byPath := map[string][]right{}
	var paths []string
	for _, r := range b.rights(version, scope) {
		if _, known := byPath[r.path]; !known {
			paths = append(paths, r.path)
		}
		byPath[r.path] = append(byPath[r.path], r)
	}
	var out strings.Builder
	major, _ := majorMinor(cmp.Or(version, "9"))
	fmt.Fprintf(&out, roleHead, major, shell.Quote(roleUser), shell.Quote(roleUser+"!"+roleToken), roleToken)
	for _, pool := range poolsToMake(scope) {
		fmt.Fprintf(&out, "pool %s\n", shell.Quote(pool))
	}
	roles := map[string]string{} // privileges → role
	for _, path := range paths {
		fmt.Fprintf(&out, "\n# %s\n", string(term.Clean(path)))
		var privileges, optional []string
		for _, r := range byPath[path] {
			reason := r.reason
			if r.optional {
				reason, optional = "optional: "+reason, append(optional, r.privilege)
			} else {
				privileges = append(privileges, r.privilege)
			}
			fmt.Fprintf(&out, "#   %-26s %s\n", r.privilege, reason)
		}
		joined := strings.Join(privileges, " ")
		role, made := roles[joined]
		if !made {
			role = roleName(path, slices.Collect(maps.Values(roles)))
			roles[joined] = role
			fmt.Fprintf(&out, "role %s %s\n", role, shell.Quote(joined))
		}
		fmt.Fprintf(&out, "grant %s %s\n", shell.Quote(path), role)
		if len(optional) > 0 {
			fmt.Fprintf(&out, "# To grant what is optional too, remove the # from the next line.\n#role %s %s\n", role, shell.Quote(joined+" "+strings.Join(optional, " ")))
		}
	}
	out.WriteString(roleTail)
	return out.String()
}

// roleHead begins the script. Each object is modified first, and created when that
// fails. When it failed for another reason than that the object does not exist, the
// creation fails too and prints why. A shell reads everything between { and } before
// it runs any of it, so that an incomplete script does nothing.
const roleHead = `# Least-privilege login for gpuworker on Proxmox VE %[1]d.
#
# Run as root on any host of the cluster; you can run it again at any time. What
# exists is updated. What this user and this token were granted before, and is not
# listed below, is revoked. So give gpuworker role all files of one cluster at once.
# The rights of others are not changed.
#
# The secret of the token is printed once, when the token is created: keep it. A
# token that exists is not changed.
{
set -eu

user=%[2]s
token=%[3]s
granted=''

pool() { # NAME
	pveum pool modify "$1" 2>/dev/null || pveum pool add "$1" --comment 'VMs of gpuworker'
}
role() { # NAME PRIVILEGES
	pveum role modify "$1" --privs "$2" 2>/dev/null || pveum role add "$1" --privs "$2"
}
grant() { # PATH ROLE
	pveum acl modify "$1" --users "$user" --roles "$2"
	pveum acl modify "$1" --tokens "$token" --roles "$2"
	granted="$granted$1 $2
"
}

pveum user modify "$user" --comment 'gpuworker engine' 2>/dev/null || pveum user add "$user" --comment 'gpuworker engine'
pveum user token modify "$user" %[4]s --privsep 1 >/dev/null 2>&1 || pveum user token add "$user" %[4]s --privsep 1
`

// roleTail revokes grants that were not printed. pveum is written in Perl, so Perl
// is always installed.
const roleTail = `
# Revoke what was granted before and is not listed above.
rules=$(pveum acl list --output-format json)
stale=$(printf '%s' "$rules" | perl -MJSON::PP -e '
	my ($user, $token, $granted) = @ARGV;
	my %option = ("user $user" => "--users", "token $token" => "--tokens");
	my %keep = map { $_ => 1 } split /\n/, $granted;
	for my $rule (@{ decode_json(join "", <STDIN>) }) {
		my $option = $option{"$rule->{type} $rule->{ugid}"} or next;
		my $what = "$rule->{path} $rule->{roleid}";
		print "$what $option $rule->{ugid}\n" unless $keep{$what};
	}
' "$user" "$token" "$granted")
printf '%s\n' "$stale" | while read -r path role option who; do
	[ -n "$path" ] || continue
	echo "revoked from $who: $role on $path"
	pveum acl delete "$path" "$option" "$who" --roles "$role"
done
}
`

// poolsToMake returns the resource pools and their parents, parents first: Proxmox
// refuses to create a pool whose parent does not exist.
func poolsToMake(scope hypervisor.Scope) []string {
	var all []string
	for _, pool := range scope.ResourcePools {
		for at, c := range pool + "/" {
			if c == '/' && at > 0 && !slices.Contains(all, pool[:at]) {
				all = append(all, pool[:at])
			}
		}
	}
	return all
}

// roleName names a role after the kind of path, "/storage/x" → "GpuWorkerStorage",
// with a number when the name is used for other privileges.
func roleName(path string, taken []string) string {
	word, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	word = cmp.Or(word, "audit")
	first := "GpuWorker" + strings.ToUpper(word[:1]) + word[1:]
	name := first
	for n := 2; slices.Contains(taken, name); n++ {
		name = fmt.Sprint(first, n)
	}
	return name
}
