# SPDX-License-Identifier: GPL-2.0-or-later
#
# Which kernel and initramfs the guests run, after common.sh:
#
#   nothing given    Debian's kernel of this machine's release
#   KERNEL_SUITE     that of another one: bookworm (6.1), trixie (6.12), or sid:
#                    the newest, built small (see guest-kernel-small)
#   KERNEL           your kernel image, with the NTB drivers built in, or
#   KERNEL_MODULES   with ntb*.ko of that kernel in this directory

case ${KERNEL_SUITE:-$(debian_release)} in
    12|bookworm) NTB_GUEST_SUITE=bookworm ;;
    sid) NTB_GUEST_SUITE=sid ;;
    *) NTB_GUEST_SUITE=trixie ;;
esac
[ "${KERNEL_SUITE:-$NTB_GUEST_SUITE}" = "$NTB_GUEST_SUITE" ] ||
    die "KERNEL_SUITE=$KERNEL_SUITE is none of bookworm, trixie and sid"

if [ -n "${KERNEL:-}" ] && [ "${KERNEL#"$NTB_CACHE"/guest/}" = "$KERNEL" ]; then
    [ -f "$KERNEL" ] || die "KERNEL=$KERNEL does not exist"
    KERNEL=$(cd "$(dirname "$KERNEL")" && pwd)/$(basename "$KERNEL")
    NTB_GUEST_OWN=yes
    INITRD=$NTB_CACHE/guest/own-initrd
    [ -z "${KERNEL_MODULES:-}" ] || [ -f "$KERNEL_MODULES/ntb.ko" ] ||
        die "KERNEL_MODULES=$KERNEL_MODULES has no ntb.ko"
else
    NTB_GUEST_OWN=
    KERNEL=$NTB_CACHE/guest/$NTB_GUEST_SUITE/vmlinux
    KERNEL_MODULES=$NTB_CACHE/guest/$NTB_GUEST_SUITE/modules
    INITRD=$NTB_CACHE/guest/$NTB_GUEST_SUITE/initrd
fi
