#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A worker that was taken over, under the real unit: rawviewd starts tests/system/probe-worker.c, which tries everything from
# inside the sandbox. probe.expected says what must become of each attempt, one column a round:
#
#   free      no barrier but the unit, as root: what the worker could do if there were no sandbox
#   worker    the sandbox as it is
#   unfiltered  all but the seccomp filter
#   landlock  Landlock alone of those that forbid: root with the capabilities of the start
#   user      user and capabilities alone: neither filter nor Landlock
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

mkdir -p /etc/rawview /var/lib/images /etc/systemd/system/rawview@probe.service.d
systemd-sysusers
image=/var/lib/images/probe.raw
truncate -s 1M $image
(umask 077 && echo secret >/etc/rawview-secret)
describe probe '[Image]' "Path=$image" 'Format=raw' '[View]' 'Writable=yes'
printf '[Service]\nRestart=no\nExecStart=\nExecStart=/usr/libexec/rawview-probe/rawviewd --require-sandbox %%I\n' \
    >/etc/systemd/system/rawview@probe.service.d/probe.conf
systemctl daemon-reload

refused probe 65 "the probe has reported"
cat $image.report
cp $image.report /results/
is "$(cut -d'|' -f1 $image.report | sort | uniq -d)" "" "attempts with the same name"
# as_expected: each line of the report against the same line of the table; an entry may name several ends.
as_expected() {
    awk -F'|' '
        NR == FNR { want[NR] = $0; count = NR; next }
        {
            fields = split(want[FNR], w, "|")
            good = fields == NF && $1 == w[1]
            for (i = 2; i <= NF; i++) good = good && index("/" w[i] "/", "/" $i "/")
            if (!good) { print "found    " $0; print "expected " want[FNR]; bad = 1 }
        }
        END { exit bad || FNR != count }' <(grep -v '^#' /payload/probe.expected | sed 's/  \+/|/g') "$1"
}
as_expected $image.report || fail "not as expected"
# Whatever is expected: nothing is done in there but what is a worker's duty, and the one thing that no filter can stop.
is "$(awk -F'|' '$3 == "done" { print $1 }' $image.report | paste -s -d,)" \
    "read the image,write the image,bring it to disk,stat as the C library does" "what the worker could do"
is "$(stat -c '%s %a' /etc/rawview-secret)" "0 600" "the secret, which only root could truncate"
ok "$(wc -l <$image.report) attempts"
