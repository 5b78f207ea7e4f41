# Each value that is not valid is refused at the plan, by the variable that has it.

variables {
  name     = "worker-1"
  node     = "pve1"
  template = "ubuntu-22.04"
}

run "a_name_without_a_letter_or_digit" {
  command = plan

  variables {
    name = "..."
  }

  expect_failures = [var.name]
}

run "a_long_name" {
  command = plan

  variables {
    name = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  }

  expect_failures = [var.name]
}

run "a_host_with_its_domain" {
  command = plan

  variables {
    node = "pve1.example.org"
  }

  expect_failures = [var.node]
}

run "an_empty_template" {
  command = plan

  variables {
    template = ""
  }

  expect_failures = [var.template]
}

run "a_template_with_a_space" {
  command = plan

  variables {
    template = "ubuntu 22.04"
  }

  expect_failures = [var.template]
}

run "a_vmid_below_100" {
  command = plan

  variables {
    template = "99"
  }

  expect_failures = [var.template]
}

run "no_cores" {
  command = plan

  variables {
    cores = 0
  }

  expect_failures = [var.cores]
}

run "half_a_core" {
  command = plan

  variables {
    cores = 1.5
  }

  expect_failures = [var.cores]
}

run "too_little_memory" {
  command = plan

  variables {
    memory_mb = 16
  }

  expect_failures = [var.memory_mb]
}

run "no_disk" {
  command = plan

  variables {
    disk_gb = 0
  }

  expect_failures = [var.disk_gb]
}

run "a_path_for_a_storage" {
  command = plan

  variables {
    disk_pool = "/var/lib/vz"
  }

  expect_failures = [var.disk_pool]
}

run "a_long_name_of_a_bridge" {
  command = plan

  variables {
    network_bridge = "a-very-long-bridge"
  }

  expect_failures = [var.network_bridge]
}

run "a_file_for_an_ssh_key" {
  command = plan

  variables {
    ssh_authorized_keys = ["~/.ssh/id_ed25519.pub"]
  }

  expect_failures = [var.ssh_authorized_keys]
}

run "a_private_ssh_key" {
  command = plan

  variables {
    ssh_authorized_keys = ["-----BEGIN OPENSSH PRIVATE KEY-----"]
  }

  expect_failures = [var.ssh_authorized_keys]
}

run "no_ssh_key" {
  command = plan

  variables {
    ssh_authorized_keys = [null]
  }

  expect_failures = [var.ssh_authorized_keys]
}

run "a_user_in_upper_case" {
  command = plan

  variables {
    cloud_init_user = "Admin"
  }

  expect_failures = [var.cloud_init_user]
}

run "dhcp_in_static_ip_config" {
  command = plan

  variables {
    static_ip_config = "ip=dhcp"
  }

  expect_failures = [var.static_ip_config]
}

run "an_address_without_a_prefix_length" {
  command = plan

  variables {
    static_ip_config = "ip=192.0.2.50,gw=192.0.2.1"
  }

  expect_failures = [var.static_ip_config]
}

run "an_address_without_a_gateway" {
  command = plan

  variables {
    static_ip_config = "ip=192.0.2.50/24"
  }

  expect_failures = [var.static_ip_config]
}

run "a_negative_time" {
  command = plan

  variables {
    wait_for_ip_timeout = -1
  }

  expect_failures = [var.wait_for_ip_timeout]
}

run "another_disk" {
  command = plan

  variables {
    disk_slot = 1
  }

  expect_failures = [var.disk_slot]
}

run "another_network_interface" {
  command = plan

  variables {
    network_id = 1
  }

  expect_failures = [var.network_id]
}

run "no_address_at_all" {
  command = plan

  variables {
    dhcp = false
  }

  expect_failures = [gpuworker_vm.this]
}

run "an_address_and_dhcp" {
  command = plan

  variables {
    static_ip_config = "ip=192.0.2.50/24,gw=192.0.2.1"
  }

  expect_failures = [check.static_ip_config_is_used]
}

run "a_name_with_dots" {
  command = plan

  variables {
    name = "worker-1.Example.org"
  }

  expect_failures = [check.name_is_a_dns_label]
}
