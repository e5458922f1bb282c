#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# deb.sh: Debian's packages build, lintian finds nothing, and they carry the version of meson.build. Exit 77 without debhelper or lintian.
set -euo pipefail
source=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")

for program in dpkg-buildpackage dh dh_apparmor lintian scdoc; do
    command -v "$program" >/dev/null || {
        echo "needs $program (./dev deps)"
        exit 77
    }
done
cd "$source"
version=$(sed -n "s/^    version: '\(.*\)',/\1/p" meson.build)
[ "$(dpkg-parsechangelog -S Version)" = "$version" ] || {
    echo "debian/changelog does not begin with version $version of meson.build"
    exit 1
}
# What ./dev installs to build, Debian has to know of, too: it may be on this machine by chance.
for library in $(sed -n '/^build_packages=(/,/)/p' dev | tr -c 'a-z0-9-' '\n' | grep -- '-dev$' | grep -v -x libc6-dev); do
    grep -q "^ $library\b" debian/control || {
        echo "$library is in build_packages of dev, and not in debian/control"
        exit 1
    }
done
place=$("$source/packaging/build-deb")
# What may be other than lintian would have it, and why, stands in debian/rawview.lintian-overrides.
said=$(lintian --display-info --allow-root --fail-on error,warning,info "$place"/*.changes) || {
    printf '%s\n' "$said"
    exit 1
}
echo "lintian is content with $(cd "$place" && echo *.deb)"
