import {
  to = gpuworker_vm.gpu
  id = "gpu-1"
}
