package v1alpha1

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// canary is the secret in these tests. No part of it may be printed.
const canary = "gpuworker@pve!cli=0f3c9a7e-canary-4b1d-9c55-2f0e8d6a1b7c"

func TestASecretIsReadFromItsSource(t *testing.T) {
	environment := map[string]string{"TOKEN": canary, "NEWLINE": canary + "\n", "EMPTY": "", "BLANK": " \n", "TWO": "a\n" + canary}
	getenv := func(name string) (string, bool) { value, ok := environment[name]; return value, ok }
	files := map[string]string{"/run/token": canary + "\r\n", "/run/empty": "\n", "/run/two": canary + "\n" + canary + "\n", "/run/keeps": canary + "\n\n"}
	readFile := func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EACCES}
	}
	for name, test := range map[string]struct {
		source SecretSource
		want   string // the error; "" when the secret comes out
	}{
		"a variable":                     {SecretSource{Env: "TOKEN"}, ""},
		"a variable with a line break":   {SecretSource{Env: "NEWLINE"}, ""},
		"a file with a line break":       {SecretSource{File: "/run/token"}, ""},
		"a variable that is not set":     {SecretSource{Env: "PVE_TOKEN"}, "environment variable PVE_TOKEN is not set; export it before running this command"},
		"a variable that is empty":       {SecretSource{Env: "EMPTY"}, "environment variable EMPTY is empty; it must contain the secret"},
		"a variable that is blank":       {SecretSource{Env: "BLANK"}, "environment variable BLANK is empty; it must contain the secret"},
		"a variable with two lines":      {SecretSource{Env: "TWO"}, "environment variable TWO has more than one line; it must contain only the secret"},
		"a file that cannot be read":     {SecretSource{File: "/run/other"}, "file /run/other: permission denied"},
		"a file that is empty":           {SecretSource{File: "/run/empty"}, "file /run/empty is empty; it must contain the secret"},
		"a file with two lines":          {SecretSource{File: "/run/two"}, "file /run/two has more than one line; it must contain only the secret"},
		"a file with a blank line after": {SecretSource{File: "/run/keeps"}, "file /run/keeps has more than one line; it must contain only the secret"},
		"no source":                      {SecretSource{}, "the secret has no source; write env or file"},
		"two sources":                    {SecretSource{Env: "TOKEN", File: "/run/token"}, "the secret has two sources; write only one of env and file"},
	} {
		t.Run(name, func(t *testing.T) {
			secret, err := test.source.Resolve(getenv, readFile)
			if test.want == "" {
				if secret != canary || err != nil {
					t.Errorf("got %q, %v", secret, err)
				}
				return
			}
			if secret != "" || fmt.Sprint(err) != test.want {
				t.Errorf("got %q, %v; want error %q", secret, err, test.want)
			}
			if strings.Contains(fmt.Sprint(err), "canary") {
				t.Errorf("the error has the secret: %v", err)
			}
		})
	}
	_, err := SecretSource{File: "/run/other"}.Resolve(getenv, readFile)
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("the cause is lost: %v", err)
	}
}
