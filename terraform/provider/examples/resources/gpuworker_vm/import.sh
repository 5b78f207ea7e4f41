# By the name of the worker, the identifier of its VM, or its id (KubeCluster/pool/name).
terraform import gpuworker_vm.gpu gpu-1
