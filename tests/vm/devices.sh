#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What only a machine of its own has: udev, loop devices, device policy, AppArmor.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

test_machine() {
    is "$(cat /proc/1/comm)" systemd "PID 1"
    is "$(cat /sys/module/apparmor/parameters/enabled)" Y "AppArmor"
    is "$(systemctl --failed --no-legend --plain | cut -d' ' -f1)" "" "units that failed at boot"
    is "$(findmnt -n -o FSTYPE /)" ext4 "the root file system"
    rawview --version
    ok "the machine"
}

test_machine
