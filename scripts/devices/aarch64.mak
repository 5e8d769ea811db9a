# SPDX-License-Identifier: GPL-2.0-or-later
#
# What qemu-system-aarch64 needs for the tests, rather than all there is

CONFIG_ARM_VIRT=y
CONFIG_PCI_DEVICES=y
CONFIG_PCIE_PORT=y
CONFIG_IVSHMEM_DEVICE=y
CONFIG_IDT_NTB=y
