# SPDX-License-Identifier: GPL-2.0-or-later
#
# What qemu-system-ppc64 needs for the tests, rather than all there is

CONFIG_PSERIES=y
CONFIG_PCI_DEVICES=y
CONFIG_IVSHMEM_DEVICE=y
CONFIG_IDT_NTB=y
