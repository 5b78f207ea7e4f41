// Package e2e runs the real terraform or tofu with the provider as users install it, on the
// examples and the modules of this repository: init from a filesystem mirror, validate,
// plan, apply, change and destroy, each against its own simulated Proxmox VE cluster over
// TLS. The tests use no network but the loopback interface.
//
// They need one of these programs; without it they are skipped. To run them:
//
//	make e2e-terraform
//	make e2e-opentofu
//	TF_ACC_TERRAFORM_PATH=/path/of/terraform go test ./...   # another version
//
// The tests of query and actions need Terraform 1.14.
package e2e
