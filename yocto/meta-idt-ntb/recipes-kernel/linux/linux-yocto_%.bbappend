# SPDX-License-Identifier: GPL-2.0-or-later

require linux-yocto-idt-ntb.inc
