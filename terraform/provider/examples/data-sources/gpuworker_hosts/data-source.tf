# The hosts that can pass devices to VMs.
data "gpuworker_hosts" "all" {}

output "hosts_with_iommu" {
  value = [for host in data.gpuworker_hosts.all.hosts : host.name if host.iommu == "on"]
}
