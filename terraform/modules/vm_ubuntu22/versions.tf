terraform {
  required_version = ">= 1.8"

  required_providers {
    gpuworker = {
      source = "gpuworker/gpuworker"
    }
  }
}
