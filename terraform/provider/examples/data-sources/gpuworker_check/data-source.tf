# Every plan and apply fails when a check fails.
data "gpuworker_check" "required" {
  fail_on_problems = true
}
