package engine

import (
	"os"
	"os/user"
)

// Author returns "user@machine", the author of claims that this process makes.
func Author() string {
	name := "somebody"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	machine, err := os.Hostname()
	if err != nil {
		machine = "somewhere"
	}
	return name + "@" + machine
}
