package document_test

import (
	"fmt"

	"github.com/gpuworker/gpuworker/internal/document"
)

func ExampleLoad() {
	const text = `apiVersion: gpuworker.io/v1alpha1
kind: KubeCluster
metadata:
  name: rke2-lab
spec:
  sever: https://rke2.example.org:9345
---
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata:
  name: gpu-workers
spec:
  kubeCluster: rke2-lab
  hypervisor: lab
  gpus:
    - {host: pve1, bdf: "03"}
  template: {name: ubuntu-22.04}
`
	_, _, err := document.Load(document.File{Name: "lab.yaml", Data: []byte(text)})
	fmt.Println(err)
	// Output:
	// lab.yaml:6: KubeCluster/rke2-lab: spec.sever: there is no such field; did you mean "server"?
	// lab.yaml:14: WorkerPool/gpu-workers: spec.hypervisor: there is no Hypervisor document "lab"; these files have no document of this kind
	// lab.yaml:16: WorkerPool/gpu-workers: spec.gpus[0].bdf: "03" is not a PCI address; write it as domain:bus:device.function, for example "0000:03:00.0" (gpuworker gpus lists them)
	// 3 problems, nothing was changed.
}
