package spec_test

import (
	"testing"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/spec"
)

func TestThePathOfAFieldIsThatOfItsAttribute(t *testing.T) {
	for field, want := range map[string]string{
		"":                                      "",
		"template":                              "template",
		"access.sshKeys[2]":                     "access.ssh_keys[2]",
		"gpus[0].bdf":                           "gpus[0].bdf",
		"proxmox.machineType":                   "proxmox.machine_type",
		"lifecycle":                             "worker_lifecycle",
		`labels["node-role.kubernetes.io/gpu"]`: `labels["node-role.kubernetes.io/gpu"]`,
	} {
		if got := spec.Path(field).String(); got != want {
			t.Errorf("%s is at %s, want %s", field, got, want)
		}
	}
}
