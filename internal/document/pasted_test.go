package document

import (
	"strings"
	"testing"
)

// canary is the secret in these tests. No part of it may be printed.
const canary = "gpuworker@pve!cli=0f3c9a7e-canary-4b1d-9c55-2f0e8d6a1b7c"

// When a person pastes the secret itself into a document, in any way, the result is a
// problem that does not repeat it.
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
			_, warnings, err := Load(File{Name: "a.yaml", Data: []byte(text)}, File{Name: "lab.yaml", Data: read(t, "../../api/v1alpha1/testdata/lab.yaml")})
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
