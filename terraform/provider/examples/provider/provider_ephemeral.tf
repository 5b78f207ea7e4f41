# Terraform 1.10 and newer: the token is not even in a saved plan.
variable "token" {
  type      = string
  sensitive = true
  ephemeral = true
}

provider "gpuworker" {
  endpoint    = "https://pve1.example.org:8006"
  fingerprint = "6E:F0:5C:1D:2B:8A:93:47:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:01:02:03:04:05:06:07:08"
  token       = var.token
}
