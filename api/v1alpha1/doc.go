// Package v1alpha1 has the documents that an operator writes: Hypervisor, KubeCluster and
// WorkerPool, in the API group gpuworker.io. They are Kubernetes objects: the file that is
// given to the command line is the object that a controller reconciles.
//
// SetDefaults sets all defaults. Validate checks a set of documents without any
// hypervisor; `check` and `plan` check what needs one. Package internal/document reads
// files. Schema is for editors.
//
// No message of this package repeats text that is or may be a secret.
//
// +groupName=gpuworker.io
// +kubebuilder:object:generate=true
package v1alpha1

// GroupVersion is the apiVersion of every document of this package.
const GroupVersion = "gpuworker.io/v1alpha1"

// The kinds of documents.
const (
	KindHypervisor  = "Hypervisor"
	KindKubeCluster = "KubeCluster"
	KindWorkerPool  = "WorkerPool"
)
