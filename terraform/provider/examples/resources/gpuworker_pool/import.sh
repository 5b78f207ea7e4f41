# By the name of the pool, or its id (KubeCluster/name).
terraform import gpuworker_pool.gpu gpu
