# SPDX-License-Identifier: LGPL-2.1-or-later
"""past-end.py VIEW IMAGE SUPERVISOR RAWVIEW: ends the view while it is open here, and goes on with what is open."""
import os
import signal
import subprocess
import sys
import time

view, image, supervisor, rawview = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]


def is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def mount_again():
    return subprocess.run([rawview, "mount", "-d", "-p", f"{view}.again", "-f", "raw", "-w", image, view],
                          capture_output=True, text=True, timeout=60, check=False)


fd = os.open(view, os.O_RDWR)
os.pwrite(fd, b"before", 0)
os.kill(supervisor, signal.SIGTERM)
end = time.monotonic() + 60
while not is_gone(supervisor):
    assert time.monotonic() < end, "the view does not end"
    time.sleep(0.1)

# The file is ours until we let go of it, and nobody else may take it for unused.
os.pwrite(fd, b"after", 0)
with open(image, "rb") as f:
    assert f.read(5) == b"after"
refused = mount_again()
assert refused.returncode != 0 and "in use" in refused.stderr, refused
os.close(fd)
end = time.monotonic() + 20
while (again := mount_again()).returncode != 0:
    assert time.monotonic() < end, again
    time.sleep(0.1)
with open(f"{view}.again", encoding="ascii") as f:
    pid = int(f.read())
os.kill(pid, signal.SIGINT)
while not is_gone(pid):
    time.sleep(0.05)
