package v1alpha1

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// noKubeNode reports labels or taints in a pool whose workers join no KubeCluster.
func (o *object) noKubeNode(path string, p *WorkerPool, written int) {
	if p.Spec.KubeCluster == "" && written > 0 {
		o.errorf(path, "the pool has no KubeCluster, so there are no KubeNodes to put them on; remove them, or name a KubeCluster")
	}
}

func (o *object) nodeLabels(path string, p *WorkerPool) {
	o.noKubeNode(path, p, len(p.Spec.Labels))
	for _, key := range slices.Sorted(maps.Keys(p.Spec.Labels)) {
		at, value := fieldpath.Entry(path, key), p.Spec.Labels[key]
		if wrong := validation.IsQualifiedName(key); len(wrong) > 0 {
			o.errorf(at, "the key is not a Kubernetes label: %s", rule(wrong))
			continue
		}
		if wrong := validation.IsValidLabelValue(value); len(wrong) > 0 {
			o.errorf(at, "the value %s is not a Kubernetes label value: %s", phrase.Quote(value), rule(wrong))
		}
		if !kubeletMaySet(key) {
			o.errorf(at, "a kubelet may not set this label on its own node: it would refuse to start, and the node would never join. Remove it here and set it after the join: kubectl label node %s %s=%s",
				p.WorkerName(1), key, value)
		}
		if key == "kubernetes.io/hostname" {
			o.warnf(at, "this label is the node's own name; a label of the pool would give all workers the same value")
		}
	}
}

// rule returns the message of Kubernetes about a name, without the regular expression.
func rule(wrong []string) string {
	text, _, _ := strings.Cut(wrong[0], " (e.g.")
	return text
}

// kubeletLabels are the labels below kubernetes.io that a kubelet may set on its own
// node, besides those of node.kubernetes.io and kubelet.kubernetes.io.
// Source: Kubernetes, k8s.io/kubelet well-known labels, and admission plug-in
// NodeRestriction.
var kubeletLabels = []string{
	"kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os",
	"topology.kubernetes.io/zone", "topology.kubernetes.io/region",
	"node.kubernetes.io/instance-type",
	"beta.kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/instance-type",
	"failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
}

// kubeletMaySet reports whether a kubelet with this label starts and may register. Labels
// outside the domains of Kubernetes are always allowed.
func kubeletMaySet(key string) bool {
	domain, _, prefixed := strings.Cut(key, "/")
	if !prefixed || !inDomain(domain, "kubernetes.io") && !inDomain(domain, "k8s.io") {
		return true
	}
	return slices.Contains(kubeletLabels, key) || inDomain(domain, "node.kubernetes.io") || inDomain(domain, "kubelet.kubernetes.io")
}

func inDomain(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}

func (o *object) taints(path string, taints []Taint) {
	type identity struct {
		key    string
		effect TaintEffect
	}
	first := make(map[identity]int)
	for i, t := range taints {
		at := fieldpath.Item(path, i)
		if t.Key == "" {
			o.errorf(fieldpath.Under(at, "key"), "is missing; write for example nvidia.com/gpu")
		} else if wrong := validation.IsQualifiedName(t.Key); len(wrong) > 0 {
			o.errorf(fieldpath.Under(at, "key"), "%s is not the key of a taint: %s", phrase.Quote(t.Key), rule(wrong))
		}
		if wrong := validation.IsValidLabelValue(t.Value); len(wrong) > 0 {
			o.errorf(fieldpath.Under(at, "value"), "%s is not the value of a taint: %s", phrase.Quote(t.Value), rule(wrong))
		}
		if t.Effect == "" {
			o.errorf(fieldpath.Under(at, "effect"), "is missing; write NoSchedule, PreferNoSchedule or NoExecute")
		}
		oneOf(o, fieldpath.Under(at, "effect"), t.Effect, NoSchedule, PreferNoSchedule, NoExecute)
		this := identity{t.Key, t.Effect}
		if at0, twice := first[this]; twice {
			o.errorf(at, "%s is written twice: %s has the same key and effect, and Kubernetes keeps only one of them", fmt.Sprintf("%s:%s", t.Key, t.Effect), fieldpath.Item(path, at0))
			continue
		}
		first[this] = i
	}
}
