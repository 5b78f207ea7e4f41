// SPDX-License-Identifier: GPL-2.0
/* A stand-in for NVIDIA's module nvidia_uvm, for tests: it only has the device file. */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

static const struct file_operations nothing = { .owner = THIS_MODULE };
static struct miscdevice uvm = { .minor = MISC_DYNAMIC_MINOR, .name = "nvidia-uvm", .fops = &nothing };

module_misc_device(uvm);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("stand-in for NVIDIA's kernel module nvidia_uvm");
