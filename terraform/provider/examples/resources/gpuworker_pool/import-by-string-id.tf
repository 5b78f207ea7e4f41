import {
  to = gpuworker_pool.gpu
  id = "gpu"
}
