import {
  to = gpuworker_vm.gpu
  identity = {
    name = "gpu-1"
  }
}
