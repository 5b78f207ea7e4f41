package v1alpha1

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// VM numbers that Proxmox VE allows (API schema, pve-vmid).
const (
	lowestVMID  = 100
	highestVMID = 999_999_999
)

// rootUser is the only login that may write a raw PCI address into a VM.
const rootUser = "root@pam"

func (v *validator) hypervisors() {
	names := make(uniqueNames)
	endpoints := make(map[string][]numbered)
	for i := range v.docs.Hypervisors {
		h := &v.docs.Hypervisors[i]
		o := v.object(KindHypervisor, i, h.Name)
		names.check(o, h.Name)
		if h.Spec.Proxmox == nil {
			o.errorf("spec.proxmox", "is missing; it says where the Proxmox VE cluster is and how to log in")
			continue
		}
		o.proxmox("spec.proxmox", h.Spec.Proxmox)
		o.separateRange("spec.proxmox.vmids", h.Spec.Proxmox, endpoints)
	}
}

// numbered is a document and its range of VM numbers.
type numbered struct {
	by    *object
	vmids VMIDRange
}

// separateRange warns when the ranges of two documents with the same endpoint overlap: each
// document only counts its own workers.
func (o *object) separateRange(path string, p *Proxmox, endpoints map[string][]numbered) {
	if p.Endpoint == "" {
		return
	}
	for _, other := range endpoints[p.Endpoint] {
		if p.VMIDs.First <= other.vmids.Last && other.vmids.First <= p.VMIDs.Last {
			o.warnings = append(o.warnings, Problem{Field: *o.field(path), See: other.by.field(path), Message: fmt.Sprintf(
				"%d to %d overlaps the range of another Hypervisor with the same endpoint; use separate ranges, because each Hypervisor only counts its own workers", p.VMIDs.First, p.VMIDs.Last)})
			break
		}
	}
	endpoints[p.Endpoint] = append(endpoints[p.Endpoint], numbered{o, p.VMIDs})
}

func (o *object) proxmox(path string, p *Proxmox) {
	if o.httpsURL(fieldpath.Under(path, "endpoint"), p.Endpoint, "https://pve1.example.org:8006") && !hasPort(p.Endpoint) {
		o.warnf(fieldpath.Under(path, "endpoint"), "has no port, so 443 is used; Proxmox VE listens on 8006, unless a proxy is in front")
	}
	o.tls(fieldpath.Under(path, "tls"), p.TLS)
	o.credentials(fieldpath.Under(path, "credentials"), p.Credentials)
	o.vmidRange(fieldpath.Under(path, "vmids"), p.VMIDs)
	oneOf(o, fieldpath.Under(path, "attach"), p.Attach, AttachMapping, AttachRaw)
	if p.Attach == AttachRaw && p.Credentials.Username != rootUser {
		o.errorf(fieldpath.Under(path, "attach"), "Raw needs credentials with username: %s and its password; Proxmox lets no other user and no token attach a raw address. Mapping works with a token", rootUser)
	}
	if p.ResourcePool != "" && !resourcePoolForm.MatchString(p.ResourcePool) {
		o.errorf(fieldpath.Under(path, "resourcePool"), "%s is not the name of a Proxmox pool; it may have letters, digits, . - _, and up to two / between levels", phrase.Quote(p.ResourcePool))
	}
	o.storageName(fieldpath.Under(path, "isoStorage"), p.ISOStorage)
}

// resourcePoolForm is Proxmox's form of a pool's ID.
var resourcePoolForm = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){0,2}$`)

// httpsURL requires a URL of scheme, host and optional port. A URL may contain a password,
// so a message never repeats it.
func (o *object) httpsURL(path, text, example string) (ok bool) {
	if text == "" {
		o.errorf(path, "is missing; write it as %q", example)
		return false
	}
	if hostAndPort.MatchString(text) {
		o.errorf(path, "has no scheme; write %q", "https://"+text)
		return false
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		o.errorf(path, "is not a URL; write it as %q", example)
	case u.User != nil:
		o.errorf(path, "contains a user name or password; write %q, and put the login into credentials (if it was a real password, change it)", "https://"+u.Host)
	case u.Scheme == "http":
		o.errorf(path, "is http, which would send the credentials without encryption; write %q", "https://"+u.Host)
	case u.Scheme != "https":
		o.errorf(path, "is not an https URL; write it as %q", example)
	case u.Hostname() == "":
		o.errorf(path, "has no host; write it as %q", example)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		o.errorf(path, "has more than scheme, host and port; write %q", "https://"+u.Host)
	default:
		return true
	}
	return false
}

var hostAndPort = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)

func hasPort(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Port() != ""
}

func (o *object) tls(path string, tls TLS) {
	var set []string
	if tls.Fingerprint != "" {
		set = append(set, "fingerprint")
		if _, err := ParseFingerprint(tls.Fingerprint); err != nil {
			o.errorf(fieldpath.Under(path, "fingerprint"), "%v", err)
		}
	}
	if tls.CAFile != "" {
		set = append(set, "caFile")
		o.fileName(fieldpath.Under(path, "caFile"), tls.CAFile)
	}
	if tls.Insecure {
		set = append(set, "insecure")
		o.warnf(fieldpath.Under(path, "insecure"), "TLS verification is off; credentials can be intercepted, and another server can impersonate this one. Better: tls.fingerprint, from `pvenode cert info` on the host")
	}
	if len(set) > 1 {
		o.errorf(path, "has %s; write only one of them", phrase.And(set))
	}
}

// ParseFingerprint reads the SHA-256 of a certificate in hexadecimal, with or
// without colons, and returns its 32 bytes.
func ParseFingerprint(text string) ([]byte, error) {
	digits := strings.ReplaceAll(text, ":", "")
	sum, err := hex.DecodeString(digits)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s is not a fingerprint; write the SHA-256 in hexadecimal, as `pvenode cert info` prints it", phrase.Quote(text))
	case len(sum) == 20:
		return nil, fmt.Errorf("the fingerprint is a SHA-1; write the SHA-256, as `pvenode cert info` prints it")
	case len(sum) != 32:
		return nil, fmt.Errorf("the fingerprint has %d bytes, but a SHA-256 has 32; is a part missing?", len(sum))
	}
	return sum, nil
}

func (o *object) credentials(path string, c Credentials) {
	if c.Token != nil {
		o.secret(fieldpath.Under(path, "token"), *c.Token, "PVE_TOKEN")
	}
	if c.Password != nil {
		o.secret(fieldpath.Under(path, "password"), *c.Password, "PVE_PASSWORD")
	}
	switch {
	case c.Token == nil && c.Password == nil && c.Username == "":
		o.errorf(path, "is missing; write token: {env: PVE_TOKEN}, and put \"user@realm!name=secret\" into that variable")
	case c.Token != nil && (c.Password != nil || c.Username != ""):
		o.errorf(path, "has a token and a username or password; write one login only")
	case c.Token == nil && c.Username == "":
		o.errorf(fieldpath.Under(path, "username"), "is missing, but there is a password; write it as user@realm, for example %q", rootUser)
	case c.Token == nil && c.Password == nil:
		o.errorf(fieldpath.Under(path, "password"), "is missing, but there is a username; write {env: PVE_PASSWORD}, or use a token")
	}
	o.username(fieldpath.Under(path, "username"), c.Username)
}

// username requires user@realm. Messages do not repeat it, because people also paste
// tokens and passwords here.
func (o *object) username(path, name string) {
	switch {
	case name == "" || usernameForm.MatchString(name):
	case strings.Contains(name, "!"):
		o.errorf(path, "looks like an API token; write token: {env: PVE_TOKEN} instead of username, and put the token into that variable. If this was a real token, make a new one")
	case !strings.Contains(name, "@"):
		o.errorf(path, "has no realm; write it as user@realm, for example %q", rootUser)
	default:
		o.errorf(path, "is not a Proxmox login; write it as user@realm, for example %q", rootUser)
	}
}

var usernameForm = regexp.MustCompile(`^[^\s:/!]+@[A-Za-z][A-Za-z0-9._-]+$`)

func (o *object) vmidRange(path string, r VMIDRange) {
	switch {
	case r == VMIDRange{}:
	case r.First == 0 || r.Last == 0:
		o.errorf(path, "needs both first and last")
	case r.First < lowestVMID || r.First > highestVMID:
		o.errorf(fieldpath.Under(path, "first"), "%d is not a VM number; Proxmox allows %d to %d", r.First, lowestVMID, highestVMID)
	case r.Last < lowestVMID || r.Last > highestVMID:
		o.errorf(fieldpath.Under(path, "last"), "%d is not a VM number; Proxmox allows %d to %d", r.Last, lowestVMID, highestVMID)
	case r.Last < r.First:
		o.errorf(fieldpath.Under(path, "last"), "%d is below first, %d", r.Last, r.First)
	}
}

// secret requires exactly one source. Messages do not repeat names, because people paste
// the secret itself here.
func (o *object) secret(path string, s SecretSource, variable string) {
	var set []string
	for _, source := range []struct {
		name string
		set  bool
	}{{"env", s.Env != ""}, {"file", s.File != ""}, {"secretRef", s.SecretRef != nil}} {
		if source.set {
			set = append(set, source.name)
		}
	}
	switch {
	case len(set) == 0:
		o.errorf(path, "is empty; write {env: %s} or {file: NAME}", variable)
	case len(set) > 1:
		o.errorf(path, "has %s; write only one of them", phrase.And(set))
	case s.Env != "" && !environmentForm.MatchString(s.Env):
		o.errorf(fieldpath.Under(path, "env"), "is not the name of an environment variable, such as %s (letters, digits and _). If this was the secret itself, make a new one", variable)
	case s.File != "" && looksLikeSecret(s.File):
		o.errorf(fieldpath.Under(path, "file"), "looks like the secret itself, not like the name of a file with the secret; if it was a real one, make a new one")
	case s.File != "":
		o.fileName(fieldpath.Under(path, "file"), s.File)
	case s.SecretRef != nil:
		o.secretRef(fieldpath.Under(path, "secretRef"), *s.SecretRef)
	}
}

// secretRef requires the name of a Secret and of a key in it.
func (o *object) secretRef(path string, ref SecretReference) {
	if len(validation.IsDNS1123Subdomain(ref.Name)) > 0 {
		o.errorf(fieldpath.Under(path, "name"), "is not the name of a Kubernetes Secret; write for example pve-login")
	}
	if len(validation.IsConfigMapKey(ref.Key)) > 0 {
		o.errorf(fieldpath.Under(path, "key"), "is not a key of a Kubernetes Secret; write for example token")
	}
}

var environmentForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// looksLikeSecret recognizes a Proxmox token (user@realm!name=secret), a join token of
// RKE2 (K10…::server:…), and text that cannot be a file name.
func looksLikeSecret(text string) bool {
	return strings.Contains(text, "!") && strings.Contains(text, "=") ||
		strings.Contains(text, "::") || strings.ContainsAny(text, "\n\r\x00")
}

// fileName refuses ~, which only shells expand.
func (o *object) fileName(path, name string) {
	if strings.HasPrefix(name, "~") {
		o.errorf(path, "begins with ~, which only a shell expands; write the whole path, or one relative to this document")
	}
}
