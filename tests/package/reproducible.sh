#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# reproducible.sh: Debian's packages, and their source, have the same bytes when somebody else builds them: in another folder, from files of
# other modes and times, with another umask, time zone, locale, home and number of processes, later. Exit 77 without debhelper.
set -euo pipefail
source=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")

for program in dpkg-buildpackage dh dh_apparmor scdoc; do
    command -v "$program" >/dev/null || {
        echo "needs $program (./dev deps)"
        exit 77
    }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/rawview-reproducible.XXXXXX")
trap 'rm -rf "$work"' EXIT

first=$("$source/packaging/build-deb")

copy=$work/elsewhere/in-a-folder-of-another-length
mkdir -p "$copy" "$work/home"
(cd "$source" && packaging/build-deb --names | tar --null --no-recursion -T - -c) | tar -C "$copy" -x -m
chmod -R go-rwx "$copy"
second=$(
    umask 077
    env HOME="$work/home" TZ=Pacific/Kiritimati LC_ALL=C LANG=C CCACHE_DISABLE=1 DEB_BUILD_OPTIONS='nocheck parallel=3' \
        "$copy/packaging/build-deb" "$work/out"
)

# The other two say where and with what it was built.
count=0
for file in "$first"/*; do
    [[ $file == *.deb || $file == *.dsc || $file == *.tar.* ]] || continue
    cmp "$file" "$second/${file##*/}" || {
        echo "${file##*/} was built twice and is not the same: diffoscope says what is not"
        exit 1
    }
    count=$((count + 1))
done
[ "$count" -ge 4 ] || {
    echo "only $count files were compared"
    exit 1
}

# Today's date, unlike an hour, may be the same in both.
date=$(date -u -d "@$(dpkg-parsechangelog -l "$source/debian/changelog" -S Timestamp)" +%F)
dpkg-deb --fsys-tarfile "$first"/rawview_*.deb | tar -x -O ./usr/share/man/man1/rawview.1.gz | gunzip >"$work/page"
grep -q "^\.TH .*\"$date\"" "$work/page" || {
    echo "rawview(1) is not of $date, as the changelog is: $(grep '^\.TH' "$work/page")"
    exit 1
}
echo "$count files, the same bytes"
