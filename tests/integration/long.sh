#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What takes long says how far it is: a repair before a view that is written to, at the terminal and to the service manager, and the proof at
# the end of one, to who waits in `rawview umount`. Ctrl-C ends the first; the second goes on without the one who waited.
. "$(dirname "$0")/lib.sh"
: >mp

# All L1 entries lead to one table, so that looking through it takes a while; it was not closed cleanly.
"$PYTHON" - <<'PYTHON'
import struct
cs, tables = 65536, 16384
header = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, 16, tables * 8192 * cs, 0, tables, cs, 6 * cs, 1, 0, 0, 1, 0, 0, 4, 104)
with open("large", "wb") as f:
    for pos, what in (0, header), (cs, struct.pack(">Q", 3 * cs) * tables), (3 * cs, struct.pack(">Q", 4 * cs) * 8192), (9 * cs, b"end"):
        f.seek(pos)
        f.write(what)
PYTHON

step "a repair, at the terminal, and Ctrl-C"
timeout 60 "$PYTHON" -B "$HERE/at-terminal.py" 'checking large: +[0-9]+ %' - "$RAWVIEW" mount -w large mp >said || fail "$(cat said)"
tail -n 1 said | grep -q '^rawview: .*: stopped before the view was up' || fail "it says: $(cat -v said)"
no_mount_left

step "a repair, to the service manager"
timeout 60 "$PYTHON" - "$(dirname "$RAWVIEW")/rawviewd" "$W/large" "$W/mp" <<'PYTHON' || fail "it hears something else"
import os, re, signal, socket, subprocess, sys
heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
heard.bind("notify")
d = subprocess.Popen([sys.argv[1], "--writable=yes", f"--path={sys.argv[2]}", f"--mount-point={sys.argv[3]}"],
                     env=dict(os.environ, NOTIFY_SOCKET=os.path.abspath("notify")))
last, asked = -1, False
while last < 1 or not asked:
    text = heard.recv(4096).decode()
    asked = asked or text.startswith("EXTEND_TIMEOUT_USEC=")
    found = re.fullmatch(r"STATUS=Checking large before it is written to: (\d+)%", text)
    if found:
        assert last <= int(found[1]) <= 100, (last, text)
        last = int(found[1])
d.send_signal(signal.SIGTERM)
sys.exit(d.wait())
PYTHON
no_mount_left

step "a proof, to who waits in umount"
truncate -s 1500M big.raw
up view -f raw --assert-unchanged big.raw mp
pid=$(pid_of view)
worker=$(worker_of "$pid")
timeout 60 "$PYTHON" -B "$HERE/at-terminal.py" 'reading again [^:]*big.raw: +[0-9]+ %' "$worker:$pid" "$RAWVIEW" umount mp >said || fail "$(cat said)"
grep -q "big.raw: is unmounted, and its daemon (process $pid) goes on" said || fail "it says: $(cat -v said)"
no_mount_left
[[ -e $W/view.pid ]] || fail "the proof did not go on"
kill -CONT "$worker"
wait_until 60 process_is_gone "$pid" || fail "the proof does not end"
