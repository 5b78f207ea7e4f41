import {
  to = gpuworker_pool.gpu
  identity = {
    name = "gpu"
  }
}
