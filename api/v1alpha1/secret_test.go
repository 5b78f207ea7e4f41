package v1alpha1

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// canary is in the place of a secret in these tests. None of its parts may
// come out.
const canary = "gpuworker@pve!cli=0f3c9a7e-canary-4b1d-9c55-2f0e8d6a1b7c"

// A person pastes the secret itself into a document: in every way that one can
// think of, the answer is a problem that does not repeat it.
func TestASecretPastedIntoADocumentIsRefusedAndNotRepeated(t *testing.T) {
	credentials := func(text string) string {
		return "apiVersion: gpuworker.io/v1alpha1\nkind: Hypervisor\nmetadata: {name: lab}\nspec:\n  proxmox:\n    endpoint: https://pve1:8006\n    credentials:\n      " + text + "\n"
	}
	proxmox := func(text string) string {
		return credentials("token: {env: T}") + "    " + text + "\n"
	}
	cluster := func(text string) string {
		return "apiVersion: gpuworker.io/v1alpha1\nkind: KubeCluster\nmetadata: {name: k}\nspec:\n  server: https://rke2:9345\n  " + text + "\n"
	}
	access := func(text string) string { return poolText("gpu", "  replicas: 1\n  access:\n    sshKeys:\n"+text) }
	const key = "-----BEGIN OPENSSH PRIVATE KEY-----\n        b3BlbnNzaC1rZXktdjEAAAAA" + canary
	for name, text := range map[string]string{
		"as the token":                         credentials(`token: "` + canary + `"`),
		"as the token, without quotes":         credentials(`token: ` + canary),
		"as the value of the token":            credentials(`token: {value: "` + canary + `"}`),
		"as the name of the variable":          credentials(`token: {env: "` + canary + `"}`),
		"as the name of the file":              credentials(`token: {file: "` + canary + `"}`),
		"as both":                              credentials(`token: {env: "` + canary + `", file: "` + canary + `"}`),
		"as a list":                            credentials(`token: ["` + canary + `"]`),
		"as a list of variables":               credentials(`token: {env: ["` + canary + `"]}`),
		"as a key":                             credentials(`token: {"` + canary + `"}`),
		"as a key, twice":                      credentials(`token: {"` + canary + `": a, "` + canary + `": b}`),
		"as a key below credentials":           credentials(`"` + canary + `": a`),
		"as the user name":                     credentials(`username: "` + canary + `"`),
		"as the user name with a password":     credentials("username: \"" + canary + "\"\n      password: {env: P}"),
		"as the password":                      credentials("username: root@pam\n      password: \"" + canary + `"`),
		"as a password with a tag":             credentials("username: root@pam\n      password: !" + "canary"),
		"as a password that begins with *":     credentials("username: root@pam\n      password: *canary"),
		"as a password that begins with &":     credentials("username: root@pam\n      password: &canary"),
		"as a password that begins with %":     credentials("username: root@pam\n      password: %canary"),
		"as a password that begins with @":     credentials("username: root@pam\n      password: @canary"),
		"as a password with a colon":           credentials("username: root@pam\n      password: abc: canary"),
		"as a password with an open quote":     credentials("username: root@pam\n      password: \"canary"),
		"as a password that is a number":       credentials("username: root@pam\n      password: 9988776655"),
		"as a user name that is a number":      credentials("username: 9988776655\n      password: {env: P}"),
		"as a variable that is a number":       credentials("token: {env: 9988776655}"),
		"in the endpoint":                      strings.Replace(proxmox(""), "https://pve1:8006", "https://root:canary@pve1:8006", 1),
		"in the endpoint's query":              strings.Replace(proxmox(""), "https://pve1:8006", "https://pve1:8006/?token=canary", 1),
		"in an endpoint that is no URL":        strings.Replace(proxmox(""), "https://pve1:8006", "\"https://root:canary@pve1:80 06\"", 1),
		"in an endpoint without scheme":        strings.Replace(proxmox(""), "https://pve1:8006", "root:canary@pve1:8006", 1),
		"as a token beside the credentials":    proxmox(`token: "` + canary + `"`),
		"as apiToken beside the credentials":   proxmox(`apiToken: "` + canary + `"`),
		"as a field beside the credentials":    proxmox(`"` + canary + `": a`),
		"as a field twice":                     proxmox(`"` + canary + `": a` + "\n" + `    "` + canary + `": a`),
		"as the join token":                    cluster("joinToken: K10canary::server:canary"),
		"as the file of the join token":        cluster("joinToken: {file: 'K10canary::server:canary'}"),
		"as the server":                        strings.Replace(cluster(""), "https://rke2:9345", "https://x:canary@rke2:9345", 1),
		"as a private SSH key":                 access("      - |\n        " + key + "\n"),
		"as a private SSH key on one line":     access("      - \"" + strings.ReplaceAll(key, "\n", " ") + "\"\n"),
		"as a private SSH key without its top": access("      - b3BlbnNzaC1rZXktdjEAAAAAcanary\n"),
		"as a private SSH key that is no list": poolText("gpu", "  replicas: 1\n  access:\n    sshKeys: |\n      "+key+"\n"),
	} {
		t.Run(name, func(t *testing.T) {
			_, warnings, err := Load(File{Name: "a.yaml", Data: []byte(text)}, File{Name: "lab.yaml", Data: read(t, "testdata/lab.yaml")})
			if err == nil {
				t.Fatalf("it was taken:\n%s", text)
			}
			if !strings.Contains(err.Error(), "a.yaml") {
				t.Errorf("nothing is said of the document: %v", err)
			}
			said := report(warnings, err)
			for _, part := range []string{"canary", "0f3c9a7e", "2f0e8d6a1b7c", "9988776655", "b3BlbnNza"} {
				if strings.Contains(said, part) {
					t.Errorf("the secret is repeated:\n%s", said)
				}
			}
		})
	}
}

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
		"a variable that is empty":       {SecretSource{Env: "EMPTY"}, "environment variable EMPTY is empty; it must hold the secret"},
		"a variable that is blank":       {SecretSource{Env: "BLANK"}, "environment variable BLANK is empty; it must hold the secret"},
		"a variable with two lines":      {SecretSource{Env: "TWO"}, "environment variable TWO holds more than one line; it must hold the secret and nothing else"},
		"a file that cannot be read":     {SecretSource{File: "/run/other"}, "file /run/other: permission denied"},
		"a file that is empty":           {SecretSource{File: "/run/empty"}, "file /run/empty is empty; it must hold the secret"},
		"a file with two lines":          {SecretSource{File: "/run/two"}, "file /run/two holds more than one line; it must hold the secret and nothing else"},
		"a file with a blank line after": {SecretSource{File: "/run/keeps"}, "file /run/keeps holds more than one line; it must hold the secret and nothing else"},
		"no source":                      {SecretSource{}, "a secret without a source; write env or file"},
		"two sources":                    {SecretSource{Env: "TOKEN", File: "/run/token"}, "a secret with two sources; write only one of env and file"},
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

func TestFileNamesAreRelativeToTheirDocument(t *testing.T) {
	d, err := Decode(
		File{Name: "conf/rack/hypervisor.yaml", Data: []byte("apiVersion: gpuworker.io/v1alpha1\nkind: Hypervisor\nmetadata: {name: rack}\n")},
		File{Name: "/etc/gpuworker/cluster.yaml", Data: []byte("apiVersion: gpuworker.io/v1alpha1\nkind: KubeCluster\nmetadata: {name: k}\n")},
		File{Name: "<stdin>", Data: []byte("apiVersion: gpuworker.io/v1alpha1\nkind: WorkerPool\nmetadata: {name: p}\n")},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ kind, name, file, want string }{
		{KindHypervisor, "rack", "secrets/token", "conf/rack/secrets/token"},
		{KindHypervisor, "rack", "../token", "conf/token"},
		{KindHypervisor, "rack", "/run/token", "/run/token"},
		{KindHypervisor, "rack", "", ""},
		{KindKubeCluster, "k", "token", "/etc/gpuworker/token"},
		{KindWorkerPool, "p", "token", "token"},
		{KindWorkerPool, "made in code", "token", "token"},
	} {
		if got := d.Path(test.kind, test.name, test.file); got != test.want {
			t.Errorf("Path(%s, %s, %q) is %q, want %q", test.kind, test.name, test.file, got, test.want)
		}
		if got := d.SecretOf(test.kind, test.name, SecretSource{File: test.file}).File; got != test.want {
			t.Errorf("SecretOf(%s, %s, %q) is %q, want %q", test.kind, test.name, test.file, got, test.want)
		}
	}
	if got := (SecretSource{Env: "A"}).In("/x"); got.Describe() != "environment variable A" {
		t.Errorf("a variable became %s", got.Describe())
	}
	if got := (SecretSource{File: "a"}).In("/x"); got.Describe() != "file /x/a" {
		t.Errorf("a file became %s", got.Describe())
	}
}
