// Package v1alpha1 holds the documents that an operator writes: Hypervisor,
// KubeCluster and WorkerPool, in the API group gpuworker.io. They are
// Kubernetes objects: the file that is given to the command line is the object
// that a controller reconciles.
//
// SetDefaults fills what was left out, in one place. Validate says what is wrong
// with a set of documents without looking at any hypervisor; what needs a look at
// the real world is the business of `check` and `plan`. Files are read by
// internal/document. Schema is for editors.
//
// No message of this package repeats what is, or may be, a secret.
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
