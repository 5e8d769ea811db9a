# SPDX-License-Identifier: GPL-2.0-or-later
#
# Which QEMU source and build directory to use, after common.sh:
#
#   neither given    Debian's source of the first of scripts/releases and a build
#                    of it, in the cache
#   QEMU_SRC         your tree; built in QEMU_SRC/build
#   QEMU_BUILD       your build directory, of the tree it was configured for
#   both             as they say
#
# NTB_QEMU_OWN is set when the tree is the user's, and then nothing is fetched.

# The first of scripts/releases
read -r NTB_QEMU_SERIES NTB_QEMU_SUITE <<END
$(grep -v '^#' "$NTB_TOP/scripts/releases")
END

NTB_QEMU_OWN=
if [ -n "${QEMU_BUILD:-}" ] && [ -z "${QEMU_SRC:-}" ]; then
    QEMU_SRC=$(sed -n "s/^SRC_PATH='\{0,1\}\([^']*\)'\{0,1\}\$/\1/p" \
        "$QEMU_BUILD/config-host.mak" 2>/dev/null) || QEMU_SRC=
    [ -n "$QEMU_SRC" ] || die "QEMU_BUILD=$QEMU_BUILD is not configured yet:" \
        "say which source it is for with QEMU_SRC="
fi
if [ -n "${QEMU_SRC:-}" ]; then
    [ -f "$QEMU_SRC/hw/misc/meson.build" ] ||
        die "QEMU_SRC=$QEMU_SRC is no QEMU source tree"
    QEMU_SRC=$(cd "$QEMU_SRC" && pwd)
    QEMU_BUILD=${QEMU_BUILD:-$QEMU_SRC/build}
    case $QEMU_BUILD in
        /*) ;;
        *) QEMU_BUILD=$PWD/$QEMU_BUILD ;;
    esac
    NTB_QEMU_OWN=yes
else
    QEMU_SRC=$NTB_CACHE/qemu-$NTB_QEMU_SERIES/src
    QEMU_BUILD=$NTB_CACHE/qemu-$NTB_QEMU_SERIES/build
fi
# A run of our own in the cache hands on what it chose; that is not the user's
[ "$QEMU_SRC" != "$NTB_CACHE/qemu-$NTB_QEMU_SERIES/src" ] || NTB_QEMU_OWN=
