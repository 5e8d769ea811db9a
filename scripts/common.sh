# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the shell scripts here share: where things are kept, how to talk to the
# user, how to become root.  Source it:  . "$(dirname "$0")/common.sh"

NTB_TOP=$(cd "$(dirname "$0")/.." && pwd)
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

# usage: the comment at the top of the script that runs
usage() {
    sed -n '4,/^$/s/^# \{0,1\}//p' "$0"
}

# takes PATTERN... -- ARGUMENT...: answer --help, and refuse each argument that
# no pattern matches.  Call it before anything is done.
takes() {
    takes_patterns=
    while [ "$1" != -- ]; do
        takes_patterns="$takes_patterns $1"
        shift
    done
    shift
    for takes_argument; do
        case $takes_argument in
            -h|--help)
                usage
                exit 0 ;;
        esac
        takes_known=
        set -f
        for takes_pattern in $takes_patterns; do
            # shellcheck disable=SC2254 # it is a pattern
            case $takes_argument in
                $takes_pattern) takes_known=yes ;;
            esac
        done
        set +f
        [ -n "$takes_known" ] || refuse "no argument '$takes_argument'"
    done
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
    mkdir -p "$NTB_CACHE" || die "cannot create $NTB_CACHE; set NTB_CACHE" \
        "to a directory that can be written"
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

# The Debian release this machine runs: 12, 13, ...
debian_release() {
    (. /etc/os-release && echo "${VERSION_ID:-unknown}")
}
