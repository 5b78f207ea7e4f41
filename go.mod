module github.com/gpuworker/gpuworker

go 1.26
