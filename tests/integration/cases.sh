# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What the tests without mounts share: sourced at their beginning. The one with mounts is lib.sh.
#
# CASE is what is being asked, for the message of a failure. W is a folder of the test's own, gone at its end.
set -Eeuo pipefail
export LC_ALL=C

CASE=start
# Where formats.list lies, also when the test has gone to another folder.
LISTED=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/formats.list
RECIPES_LISTED=${LISTED%/*/*}/recipe

fail()
{
    trap - ERR
    echo "FAIL: $CASE: $*" >&2
    exit 1
}
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

# need PROGRAM…: without one of them the test is skipped; in CI it fails.
need()
{
    local program
    for program in "$@"; do
        if ! command -v "$program" >/dev/null; then
            echo "cannot run here: $program is missing" >&2
            [[ ${CI:-} == true ]] && exit 1
            exit 77
        fi
    done
}

# work_in FOLDER: makes W below it.
work_in()
{
    W=$(mktemp -d "$1/rawview-cases.XXXXXX")
    trap 'rm -rf "$W"' EXIT
}

# each_listed COMMAND…: runs it for each line of formats.list, with FORMAT, CHECKED and MAKER from there, the rest as WHAT, and the image,
# which is made anew of the file "source" in the current folder or of a recipe, as IMAGE in a folder of its own, where the command runs.
each_listed()
{
    local home=$PWD
    # On a descriptor of its own: programs may read their stdin.
    # shellcheck disable=SC2034
    while read -r FORMAT CHECKED MAKER WHAT <&8; do
        [[ -n $FORMAT && $FORMAT != \#* ]] || continue
        CASE="$FORMAT, $WHAT"
        rm -rf listed
        mkdir listed
        cd listed
        make_listed
        "$@"
        cd "$home"
    done 8<"$LISTED"
    rm -rf listed
}

make_listed()
{
    local arguments
    IMAGE=disk
    read -ra arguments <<<"$WHAT"
    case $MAKER in
    qemu-img) qemu-img convert -f raw -O "${arguments[@]}" ../source disk ;;
    split)
        IMAGE=disk.001
        split -b 512K -a 3 --numeric-suffixes=1 ../source disk.
        ;;
    *)
        python3 -B "$RECIPES_LISTED/mkimage.py" "$RECIPES_LISTED/$WHAT.recipe" .
        [[ -e $IMAGE ]] || IMAGE=$(ls disk.*)
        ;;
    esac
}
