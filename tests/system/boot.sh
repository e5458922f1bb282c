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
systemd-run --quiet --wait true
