package pvesim

import "slices"

// Privileges returns the privileges of a version of the product.
func Privileges(version string) []string { return allPrivileges((&World{Version: version}).major()) }

// Roles returns the built-in roles of a version, with their privileges.
func Roles(version string) map[string][]string {
	return builtinRoles((&World{Version: version}).major())
}

// allPrivileges returns the privileges of a major version; those of 9.2 are the
// privileges of root in the recordings.
func allPrivileges(major int) []string {
	privs := []string{
		"Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit",
		"Group.Allocate", "Mapping.Audit", "Mapping.Modify", "Mapping.Use", "Permissions.Modify",
		"Pool.Allocate", "Pool.Audit", "Realm.Allocate", "Realm.AllocateUser",
		"SDN.Allocate", "SDN.Audit", "SDN.Use",
		"Sys.AccessNetwork", "Sys.Audit", "Sys.Console", "Sys.Incoming", "Sys.Modify", "Sys.PowerMgmt", "Sys.Syslog",
		"User.Modify",
		"VM.Allocate", "VM.Audit", "VM.Backup", "VM.Clone", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit",
		"VM.Config.Disk", "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options",
		"VM.Console", "VM.Migrate", "VM.PowerMgmt", "VM.Snapshot", "VM.Snapshot.Rollback",
	}
	if major < 9 {
		return append(privs, "VM.Monitor")
	}
	return append(privs, "VM.GuestAgent.Audit", "VM.GuestAgent.FileRead", "VM.GuestAgent.FileSystemMgmt",
		"VM.GuestAgent.FileWrite", "VM.GuestAgent.Unrestricted", "VM.Replicate")
}

// builtinRoles are the roles that every installation has.
func builtinRoles(major int) map[string][]string {
	all := allPrivileges(major)
	keep := func(expected ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(p string) bool { return !slices.Contains(expected, p) })
	}
	without := func(not ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(p string) bool { return slices.Contains(not, p) })
	}
	vmUser := keep("VM.Audit", "VM.Backup", "VM.Config.CDROM", "VM.Config.Cloudinit", "VM.Console", "VM.PowerMgmt",
		"VM.GuestAgent.Audit", "VM.GuestAgent.FileRead", "VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.FileWrite")
	vmAdmin := slices.DeleteFunc(slices.Clone(all), func(p string) bool { return p[:3] != "VM." })
	return map[string][]string{
		"NoAccess":      {},
		"Administrator": all,
		// PVEAdmin has all privileges except those that change the system itself; it cannot
		// change mappings.
		"PVEAdmin":          without("Permissions.Modify", "Sys.AccessNetwork", "Sys.Incoming", "Sys.Modify", "Sys.PowerMgmt", "Realm.Allocate", "Mapping.Modify"),
		"PVEAuditor":        keep("Datastore.Audit", "Mapping.Audit", "Pool.Audit", "SDN.Audit", "Sys.Audit", "VM.Audit", "VM.GuestAgent.Audit"),
		"PVEDatastoreAdmin": keep("Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit"),
		"PVEDatastoreUser":  keep("Datastore.AllocateSpace", "Datastore.Audit"),
		"PVEMappingAdmin":   keep("Mapping.Audit", "Mapping.Modify", "Mapping.Use"),
		"PVEMappingUser":    keep("Mapping.Audit", "Mapping.Use"),
		"PVEPoolAdmin":      keep("Pool.Allocate", "Pool.Audit"),
		"PVEPoolUser":       keep("Pool.Audit"),
		"PVESDNAdmin":       keep("SDN.Allocate", "SDN.Audit", "SDN.Use"),
		"PVESDNUser":        keep("SDN.Audit", "SDN.Use"),
		"PVESysAdmin":       keep("Sys.Audit", "Sys.Console", "Sys.Syslog"),
		"PVETemplateUser":   keep("VM.Audit", "VM.Clone"),
		"PVEUserAdmin":      keep("Group.Allocate", "Realm.AllocateUser", "User.Modify"),
		"PVEVMAdmin":        vmAdmin,
		"PVEVMUser":         vmUser,
	}
}
