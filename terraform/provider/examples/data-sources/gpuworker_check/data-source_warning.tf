# Every plan and apply warns when a check fails or cannot be made.
data "gpuworker_check" "lab" {}

check "hypervisor" {
  assert {
    condition     = data.gpuworker_check.lab.passed
    error_message = join("\n", [for f in data.gpuworker_check.lab.findings : "${f.where}: ${f.reason}" if contains(["fail", "unknown"], f.verdict)])
  }
}
