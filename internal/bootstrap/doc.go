// Package bootstrap renders what a new guest needs at its first boot: the seed of
// cloud-init's NoCloud data source (user-data, meta-data, network-config), its ISO image,
// and the clean seed that replaces it after the bootstrap. It is pure: the same worker
// gives the same bytes. docs/cloud-init.md has the rules and their reasons.
package bootstrap
