package pvesim

import (
	"fmt"
	"regexp"
)

// Formats of options that are stored and shown but have no effect here. Invalid values
// are refused all the same, so that mistakes are found.

const (
	uuidPattern = `[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}`
	base64Text  = `[A-Za-z0-9+/]+={0,2}`
)

const idRanges = `\d+(?:-\d+)?(?:;\d+(?:-\d+)?)*` // 0-3;8

var (
	audioFormat = &propFormat{props: specs{
		"device": oneOf("ich9-intel-hda", "intel-hda", "AC97").req(), "driver": oneOf("spice", "none"),
	}}
	ivshmemFormat = &propFormat{props: specs{"size": integer().atLeast(1).req(), "name": matching(`[a-zA-Z0-9\-]+`)}}
	numaFormat    = &propFormat{props: specs{
		"cpus": matching(idRanges).req(), "hostnodes": matching(idRanges), "memory": numeric(),
		"policy": oneOf("preferred", "bind", "interleave"),
	}}
	rngFormat = &propFormat{defaultKey: "source", props: specs{
		"source": oneOf("/dev/urandom", "/dev/random", "/dev/hwrng").req(), "max_bytes": integer(), "period": integer(),
	}}
	spiceFormat = &propFormat{props: specs{"foldersharing": boolean(), "videostreaming": oneOf("off", "all", "filter")}}
	usbFormat   = &propFormat{defaultKey: "host", props: specs{
		"host":    matching(`(?:0x)?[0-9A-Fa-f]{4}:(?:0x)?[0-9A-Fa-f]{4}|\d+-\d+(?:\.\d+)*|[Ss][Pp][Ii][Cc][Ee]`),
		"mapping": configIDSpec(), "usb3": boolean(),
	}}
	virtiofsFormat = &propFormat{defaultKey: "dirid", props: specs{
		"dirid": configIDSpec().req(), "cache": oneOf("auto", "always", "metadata", "never"),
		"direct-io": boolean(), "expose-acl": boolean(), "expose-xattr": boolean(),
	}}
	watchdogFormat = &propFormat{defaultKey: "model", props: specs{
		"model": oneOf("i6300esb", "ib700"), "action": oneOf("reset", "shutdown", "poweroff", "pause", "debug", "none"),
	}}
	sevFormat = &propFormat{defaultKey: "type", props: specs{
		"type": oneOf("std", "es", "snp").upTo(3).req(), "no-debug": boolean(), "no-key-sharing": boolean(), "kernel-hashes": boolean(), "allow-smt": boolean(),
	}}
	tdxFormat = &propFormat{defaultKey: "type", props: specs{
		"type": oneOf("tdx").req(), "attestation": boolean().req(), "vsock-cid": integer().atLeast(2), "vsock-port": integer().atLeast(0),
	}}
	unusedFormat = &propFormat{defaultKey: "file", alias: volumeAlias, props: specs{"file": formatted(volumeFormat).req()}}
)

// keyboards are the layouts that a VM's display may have.
var keyboards = []string{"de", "de-ch", "da", "en-gb", "en-us", "es", "fi", "fr", "fr-be", "fr-ca", "fr-ch", "hu", "is", "it",
	"ja", "lt", "mk", "nl", "no", "pl", "pt", "pt-br", "sv", "sl", "tr"}

const startDate = `now|\d{4}-\d{1,2}-\d{1,2}(T\d{1,2}:\d{1,2}:\d{1,2})?`

// userOrToken is a user or a token: ops@pve!ci.
const userOrToken = `[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+(?:![A-Za-z][A-Za-z0-9.\-_]+)?`

func userFormat(_, v string) string {
	switch {
	case len(v) < 3:
		return fmt.Sprintf("user name '%s' is too short", v)
	case !userForm.MatchString(v):
		return fmt.Sprintf("value '%s' does not look like a valid user name", v)
	}
	return ""
}

var bridgeForm = regexp.MustCompile(`^[-_.\w]+$`)

func bridgeFormat(_, v string) string {
	if !bridgeForm.MatchString(v) {
		return fmt.Sprintf("invalid bridge ID '%s'", v)
	}
	return ""
}

// unusedKeys are the options for unused disks.
func unusedKeys() []string {
	var keys []string
	for i := range indexed["unused"] + 1 {
		keys = append(keys, fmt.Sprint("unused", i))
	}
	return keys
}
