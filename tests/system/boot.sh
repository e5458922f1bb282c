#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The machine itself: systemd is PID 1 and content, FUSE is there, and our programs are installed and start.
set -euo pipefail
[ "$(cat /proc/1/comm)" = systemd ]
[ -c /dev/fuse ]
failed=$(systemctl --failed --no-legend --plain | cut -d' ' -f1)
[ -z "$failed" ] || {
    echo "units that failed at boot: $failed"
    exit 1
}
rawview --version
# What is installed is part of the boot without anybody having enabled it.
systemctl is-active --quiet rawview.target || {
    echo "rawview.target is not part of the boot"
    exit 1
}
systemd-analyze verify --man=no rawview@a.service rawview.target rawview.slice
XDG_RUNTIME_DIR=/run systemd-analyze verify --man=no --user rawview@a.service rawview.target
[ "$(stat -c '%n %U %a' /etc/rawview /run/rawview)" = $'/etc/rawview root 755\n/run/rawview root 755' ]
id rawview | grep -q '(rawview-worker)'
getent group rawview | grep -q ':$'
systemd-run --quiet --wait true
