// SPDX-License-Identifier: GPL-2.0
/*
 * A stand-in for NVIDIA's kernel module, for tests: it takes a PCI device with NVIDIA's
 * vendor ID and shows what gpuworker-guest reads of the real one: /proc/driver/nvidia
 * and the device files. It computes nothing.
 */
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

#define MAJOR_NUMBER 195 /* that of the real module */
#define CONTROL_MINOR 255

static struct proc_dir_entry *root, *gpus;
static struct class *class;
static const struct file_operations nothing = { .owner = THIS_MODULE };

static int version_show(struct seq_file *m, void *unused)
{
	seq_puts(m, "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  " STANDIN_VERSION "  Stand-in Build\n");
	return 0;
}

static int params_show(struct seq_file *m, void *unused)
{
	seq_puts(m, "NvLinkDisable: 0\n");
	return 0;
}

static int information_show(struct seq_file *m, void *unused)
{
	struct pci_dev *dev = m->private;

	seq_puts(m, "Model: \t\t Stand-in of a Tesla T4\n");
	seq_puts(m, "GPU UUID: \t " STANDIN_UUID "\n");
	seq_printf(m, "Bus Location: \t %s\n", pci_name(dev));
	return 0;
}

static int probe(struct pci_dev *dev, const struct pci_device_id *id)
{
	struct proc_dir_entry *dir;

	if ((dev->class >> 16) != PCI_BASE_CLASS_DISPLAY)
		return -ENODEV;
	dir = proc_mkdir(pci_name(dev), gpus);
	if (!dir)
		return -ENOMEM;
	proc_create_single_data("information", 0444, dir, information_show, dev);
	device_create(class, &dev->dev, MKDEV(MAJOR_NUMBER, 0), NULL, "nvidia0");
	return 0;
}

static void removed(struct pci_dev *dev)
{
	device_destroy(class, MKDEV(MAJOR_NUMBER, 0));
	remove_proc_subtree(pci_name(dev), gpus);
}

static const struct pci_device_id ids[] = { { PCI_DEVICE(PCI_VENDOR_ID_NVIDIA, PCI_ANY_ID) }, { } };
MODULE_DEVICE_TABLE(pci, ids);

static struct pci_driver driver = { .name = "nvidia", .id_table = ids, .probe = probe, .remove = removed };

static int __init begin(void)
{
	int err = register_chrdev(MAJOR_NUMBER, "nvidia-frontend", &nothing);

	if (err < 0)
		return err;
	class = class_create(THIS_MODULE, "nvidia-standin");
	root = proc_mkdir("driver/nvidia", NULL);
	gpus = proc_mkdir("gpus", root);
	proc_create_single("version", 0444, root, version_show);
	proc_create_single("params", 0444, root, params_show);
	device_create(class, NULL, MKDEV(MAJOR_NUMBER, CONTROL_MINOR), NULL, "nvidiactl");
	return pci_register_driver(&driver);
}

static void __exit end(void)
{
	pci_unregister_driver(&driver);
	device_destroy(class, MKDEV(MAJOR_NUMBER, CONTROL_MINOR));
	class_destroy(class);
	remove_proc_subtree("driver/nvidia", NULL);
	unregister_chrdev(MAJOR_NUMBER, "nvidia-frontend");
}

module_init(begin);
module_exit(end);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("stand-in for NVIDIA's kernel module");
