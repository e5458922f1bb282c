#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# dist.sh: `meson dist` in a clean clone of the last commit makes an archive, twice the same one, that builds and passes suite unit. Exit 77
# where this is no clone.
set -euo pipefail
source=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")

[ -e "$source/.git" ] || {
    echo "is no clone of the repository"
    exit 77
}
work=$(mktemp -d "${TMPDIR:-/tmp}/rawview-dist.XXXXXX")
trap 'rm -rf "$work"' EXIT

# dist NAME: the archive that a clone of this name gives, on standard output its path.
dist() {
    git -c safe.directory='*' clone -q "$source" "$work/$1"
    (
        cd "$work/$1"
        meson setup build -Dtests=false && meson dist -C build --no-tests --formats xztar
    ) >"$work/log" 2>&1 || {
        tail -n 30 "$work/log" >&2
        return 1
    }
    echo "$work/$1"/build/meson-dist/rawview-*.tar.xz
}

first=$(dist one)
second=$(umask 077 && TZ=Pacific/Kiritimati dist the-other)
cmp "$first" "$second" || {
    echo "'meson dist' twice is not the same"
    exit 1
}
name=${first##*/}
tar -C "$work" -xf "$first"
cd "$work/${name%.tar.xz}"
for file in LICENSE README.md dev debian/control; do
    [ -e "$file" ] || {
        echo "$file is not in $name"
        exit 1
    }
done
[ ! -e .git ] || {
    echo "$name has the repository in it"
    exit 1
}
{
    meson setup build --werror && meson compile -C build && meson test -C build --no-rebuild --suite unit --print-errorlogs
} >"$work/log" 2>&1 || {
    tail -n 60 "$work/log"
    exit 1
}
echo "$name: the same bytes twice, builds, $(sed -n 's/^Ok: *//p' "$work/log") tests pass"
