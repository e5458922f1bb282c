#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# deb.sh: Debian's packages build, lintian finds nothing, and they carry the version of meson.build. Exit 77 without debhelper or lintian.
set -euo pipefail
source=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")

for program in dpkg-buildpackage dh dh_apparmor lintian blhc scdoc; do
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
twice=$(sed -n '/^Build-Depends:/,/^[A-Z].*:/p' debian/control | sed -n 's/^ \([a-z0-9.+:-]*\).*/\1/p' | sort | uniq -d)
[ -z "$twice" ] || {
    echo "twice in Build-Depends: $twice"
    exit 1
}
# Scripts of autopkgtest are in debian/tests/control, or nobody runs them.
for script in $(sed -n 's/^Tests: //p' debian/tests/control | tr ',' ' '); do
    [ -x "debian/tests/$script" ] || {
        echo "debian/tests/$script is none that can be run"
        exit 1
    }
done
for script in debian/tests/*; do
    case ${script##*/} in control) continue ;; esac
    grep -q -w "^Tests:.*${script##*/}" debian/tests/control || {
        echo "$script is not in debian/tests/control"
        exit 1
    }
done
place=$("$source/packaging/build-deb")
# What may be other than lintian would have it, and why, stands in debian/rawview.lintian-overrides.
said=$(lintian --display-info --pedantic --allow-root --fail-on error,warning,info,pedantic "$place"/*.changes) || {
    printf '%s\n' "$said"
    exit 1
}
# What dpkg told the compiler and the linker has reached them every time. Position-independent programs are what gcc makes anyhow.
blhc --bindnow "$place/log" || {
    echo "blhc: something was not built hardened"
    exit 1
}
echo "lintian is content with $(cd "$place" && echo *.deb)"
