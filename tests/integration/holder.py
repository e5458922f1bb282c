# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds a file open. Says "open", then reads 4 KiB past the page cache for each line on stdin and says what came of
it: "ok", or the name of the errno. Ends when stdin does."""

import errno
import mmap
import os
import sys

fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
buffer = mmap.mmap(-1, 4096)
os.preadv(fd, [buffer], 0)
print("open", flush=True)
for _ in sys.stdin:
    try:
        os.preadv(fd, [buffer], 8192)
        print("ok", flush=True)
    except OSError as e:
        print(errno.errorcode[e.errno], flush=True)
