package v1alpha1

import (
	"net/url"
	"strconv"
)

// UnknownServer is the server of a KubeCluster in an export that knows only its name. Such
// a name never exists (RFC 6761, section 6.4).
const UnknownServer = "https://unknown.invalid:9345"

const exampleServer = "https://rke2.example.org:9345"

// The port at which agents register, by distribution (RKE2 and K3s
// documentation, "agent registration").
var registrationPorts = map[Distribution]int{RKE2: 9345, K3s: 6443}

func (v *validator) kubeClusters() {
	names := make(uniqueNames)
	for i := range v.docs.KubeClusters {
		k := &v.docs.KubeClusters[i]
		o := v.object(KindKubeCluster, i, k.Name)
		names.check(o, k.Name)
		oneOf(o, "spec.distribution", k.Spec.Distribution, RKE2, K3s)
		switch {
		case k.Spec.Server == UnknownServer:
			o.warnf("spec.server", "is a placeholder, because an export does not know it; write the address at which agents register, such as %q", exampleServer)
		case o.httpsURL("spec.server", k.Spec.Server, exampleServer):
			o.registrationPort("spec.server", k.Spec.Server, k.Spec.Distribution)
		}
		if k.Spec.JoinToken != nil {
			o.secret("spec.joinToken", *k.Spec.JoinToken, "RKE2_TOKEN")
		}
	}
}

// registrationPort warns when the port is that of the Kubernetes API, but RKE2 needs the
// port of its supervisor: agents would wait forever.
func (o *object) registrationPort(path, server string, distribution Distribution) {
	usual, known := registrationPorts[distribution]
	u, err := url.Parse(server)
	if err != nil || !known {
		return
	}
	switch port := u.Port(); {
	case port == "":
		o.warnf(path, "has no port, so 443 is used; %s agents register at %d, unless a load balancer is in front", distribution, usual)
	case distribution == RKE2 && port == strconv.Itoa(registrationPorts[K3s]):
		o.warnf(path, "%s is the port of the Kubernetes API; RKE2 agents register at %d", port, usual)
	}
}
