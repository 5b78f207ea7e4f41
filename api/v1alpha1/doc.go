// Package v1alpha1 holds the documents that an operator writes: Hypervisor,
// KubeCluster and WorkerPool, in the API group gpuworker.io. They are
// Kubernetes objects: the object in a file for the command line is the same
// object that a controller reconciles.
//
// SetDefaults sets all default values. Validate finds the problems of a set of
// documents that can be found without a hypervisor; `check` and `plan` find the
// others. Package internal/document reads files. Schema is for editors.
//
// No message of this package contains a value that is, or may be, a secret.
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
