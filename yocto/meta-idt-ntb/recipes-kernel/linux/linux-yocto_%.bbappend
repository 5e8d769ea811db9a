# SPDX-License-Identifier: GPL-2.0-or-later

require ${@bb.utils.contains('DISTRO_FEATURES', 'idt-ntb', 'linux-yocto-idt-ntb.inc', '', d)}
