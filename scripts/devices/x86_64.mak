# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the qemu-system-x86_64 with sanitizers needs for the tests

CONFIG_Q35=y
CONFIG_PCI_DEVICES=y
CONFIG_PCI_BRIDGE=y
CONFIG_PCIE_PORT=y
CONFIG_PCIE_PCI_BRIDGE=y
CONFIG_VTD=y
CONFIG_EDU=y
CONFIG_IVSHMEM_DEVICE=y
CONFIG_IDT_NTB=y
