# SPDX-License-Identifier: GPL-2.0-or-later

SUMMARY = "Starts a client of Linux's NTB drivers on idt-ntb"
DESCRIPTION = "Loads ntb_hw_idt and, at boot, ntb_pingpong or another client; \
tells what it does"
LICENSE = "GPL-2.0-or-later"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/GPL-2.0-or-later;md5=fed54355545ffd980b814dab4a3b312c"

SRC_URI = "file://idt-ntb \
           file://idt-ntb.default \
           file://idt-ntb.service \
           "
S = "${UNPACKDIR}"

inherit systemd update-rc.d

# The modules are those of the machine's kernel
PACKAGE_ARCH = "${MACHINE_ARCH}"
RDEPENDS:${PN} = "kernel-module-ntb-hw-idt \
                  kernel-module-ntb-pingpong \
                  kernel-module-ntb-tool \
                  kernel-module-ntb-perf \
                  "

# Nothing to stop at shutdown
INITSCRIPT_NAME = "idt-ntb"
INITSCRIPT_PARAMS = "start 90 2 3 4 5 ."
SYSTEMD_SERVICE:${PN} = "idt-ntb.service"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -D -m 0755 ${S}/idt-ntb ${D}${sbindir}/idt-ntb
    install -D -m 0644 ${S}/idt-ntb.default ${D}${sysconfdir}/default/idt-ntb
    install -D -m 0644 ${S}/idt-ntb.service \
        ${D}${systemd_system_unitdir}/idt-ntb.service
    sed -i -e 's,@SBINDIR@,${sbindir},' \
        ${D}${systemd_system_unitdir}/idt-ntb.service
    install -d ${D}${sysconfdir}/init.d
    ln -rs ${D}${sbindir}/idt-ntb ${D}${sysconfdir}/init.d/idt-ntb
}

CONFFILES:${PN} = "${sysconfdir}/default/idt-ntb"
