output "address" {
  value = provider::gpuworker::normalize_bdf("3:0.0") # 0000:03:00.0
}
