# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
#
# Functions that the shell scripts share: where things are kept, how to talk to
# the user, how to become root.  Source it:  . "$(dirname "$0")/common.sh"

NTB_TOP=$(dirname "$(readlink -f "$0")")
NTB_TOP=${NTB_TOP%/scripts}
NTB_CACHE=${NTB_CACHE:-${HOME:-/root}/.cache/idt-ntb}
export NTB_TOP NTB_CACHE

# pyenv and the like put another python3 in front; Debian's is the one that
# sees Debian's meson and pycotap.
NTB_PYTHON=/usr/bin/python3

# say TEXT...: a stage begins
say() {
    printf '==> %s\n' "$*" >&2
}

# note TEXT...: something worth a line within a stage
note() {
    printf '    %s\n' "$*" >&2
}

die() {
    printf '%s: error: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# usage: $about, or the comment at the top of the script that runs
about=
usage() {
    if [ -n "$about" ]; then
        echo "$about"
    else
        sed -n '4,/^$/s/^# \{0,1\}//p' "$0"
    fi
}

# takes PATTERNS ARGUMENT...: answer --help, and refuse each argument that is in
# none of PATTERNS, words like --option, --option=REGEX for an option that a
# value follows, or REGEX for anything else.  Call it before anything is done.
# Sets opt_NAME to the value of --NAME, or to the option itself.
takes() {
    takes_patterns=$1
    shift
    set -f
    while [ $# -gt 0 ]; do
        takes_option=$1
        for takes_pattern in $takes_patterns ''; do
            case $takes_pattern in
                "$1="*)
                    [ $# -gt 1 ] || refuse "$1 wants a value"
                    printf '%s\n' "$2" | grep -qxE "${takes_pattern#*=}" ||
                        refuse "$1 does not take '$2'"
                    shift
                    break ;;
                '')
                    case $1 in
                        -h|--help) usage; exit 0 ;;
                    esac
                    refuse "no argument '$1'" ;;
                *)
                    ! printf '%s\n' "$1" | grep -qxE -e "$takes_pattern" ||
                        break ;;
            esac
        done
        case $takes_option in
            --*) eval "opt_$(echo "${takes_option#--}" | tr - _)=\$1" ;;
        esac
        shift
    done
    set +f
}

# refuse TEXT...: what the user asks for cannot be understood
refuse() {
    printf '%s: error: %s; --help describes it\n' "$(basename "$0")" "$*" >&2
    exit 2
}

# as_root COMMAND...: run it directly as root, else through sudo
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        die "'$*' needs root: run as root, or install sudo"
    fi
}

# cache_lock NAME: one process at a time does stage NAME in this cache; the
# lock goes with the process, however it ends.
cache_lock() {
    mkdir -p "$NTB_CACHE" || die "set NTB_CACHE to a directory"
    exec 9>"$NTB_CACHE/$1.lock"
    if ! flock -n 9; then
        note "waiting for another run that holds $NTB_CACHE/$1.lock"
        flock 9
    fi
}

# quietly LOG COMMAND...: keep the output in LOG, show its end when it fails
quietly() {
    quietly_log=$1
    shift
    mkdir -p "$(dirname "$quietly_log")"
    if ! "$@" >"$quietly_log" 2>&1 </dev/null 9>&-; then
        tail -n 40 "$quietly_log" >&2
        die "'$1' failed; the whole log is $quietly_log"
    fi
}

# qemu_paths: set QEMU_SRC and QEMU_BUILD as ./ntb help says; QEMU_BUILD alone
# is of the tree that it was configured for.  NTB_QEMU_RELEASE is the default
# release if neither is given, else empty.
qemu_paths() {
    NTB_QEMU_RELEASE=$("$NTB_TOP/scripts/qemu-source" --list | head -n 1)
    cached=$NTB_CACHE/qemu-$NTB_QEMU_RELEASE
    if [ -n "${QEMU_BUILD:-}" ] && [ -z "${QEMU_SRC:-}" ]; then
        QEMU_SRC=$(sed -n "s/^SRC_PATH='\{0,1\}\([^']*\)'\{0,1\}\$/\1/p" \
            "$QEMU_BUILD/config-host.mak" 2>/dev/null) || QEMU_SRC=
        [ -n "$QEMU_SRC" ] || die "QEMU_BUILD=$QEMU_BUILD is not configured" \
            "yet: say which source it is for with QEMU_SRC="
    fi
    # A script that calls another one hands on what it chose
    if [ "${QEMU_SRC:-$cached/src}" = "$cached/src" ]; then
        QEMU_SRC=$cached/src
        QEMU_BUILD=${QEMU_BUILD:-$cached/build}
        return
    fi
    NTB_QEMU_RELEASE=
    [ -f "$QEMU_SRC/hw/misc/meson.build" ] ||
        die "QEMU_SRC=$QEMU_SRC is no QEMU source tree"
    QEMU_SRC=$(cd "$QEMU_SRC" && pwd)
    QEMU_BUILD=$(realpath -m "${QEMU_BUILD:-$QEMU_SRC/build}")
}

# guest_paths: set KERNEL, KERNEL_MODULES and INITRD as ./ntb help says.
# NTB_GUEST_SUITE is the suite of Debian that other programs come from.
guest_paths() {
    case ${KERNEL_SUITE:-$(. /etc/os-release && echo "${VERSION_ID:-}")} in
        12|bookworm) NTB_GUEST_SUITE=bookworm ;;
        sid) NTB_GUEST_SUITE=sid ;;
        *) NTB_GUEST_SUITE=trixie ;;
    esac
    [ "${KERNEL_SUITE:-$NTB_GUEST_SUITE}" = "$NTB_GUEST_SUITE" ] ||
        die "KERNEL_SUITE=$KERNEL_SUITE is none of bookworm, trixie and sid"
    case ${KERNEL:-$NTB_CACHE/guest/} in
        "$NTB_CACHE"/guest/*)
            NTB_GUEST_OWN=
            guest=$NTB_CACHE/guest/$NTB_GUEST_SUITE
            KERNEL=$guest/vmlinux
            KERNEL_MODULES=$guest/modules
            INITRD=$guest/initrd ;;
        *)
            NTB_GUEST_OWN=yes
            [ -f "$KERNEL" ] || die "KERNEL=$KERNEL does not exist"
            KERNEL=$(realpath "$KERNEL")
            INITRD=$NTB_CACHE/guest/own-initrd
            [ -z "${KERNEL_MODULES:-}" ] ||
                ls "$KERNEL_MODULES"/ntb*.ko >/dev/null 2>&1 ||
                die "KERNEL_MODULES=$KERNEL_MODULES has no ntb*.ko" ;;
    esac
}

# make_initrd DIRECTORY OUTPUT [BEFORE]: pack DIRECTORY behind the archive
# BEFORE; OUTPUT stays as it is if nothing changed.  It is not compressed: an
# emulated guest unpacks it more slowly than it loads it.
make_initrd() {
    mkdir -p "$(dirname "$2")"
    cat "${3:-/dev/null}" >"$2.new"
    (cd "$1" && find . | LC_ALL=C sort |
        cpio -o -H newc -R 0:0 --quiet --reproducible) >>"$2.new"
    if cmp -s "$2.new" "$2"; then
        rm "$2.new"
    else
        mv "$2.new" "$2"
    fi
}
