# SPDX-License-Identifier: LGPL-2.1-or-later
"""Opens a file for direct reading and says "open"; reads all of it in one go when a line comes, and says how much."""

import mmap
import os
import sys

fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
buffer = mmap.mmap(-1, os.fstat(fd).st_size)
print("open", flush=True)
sys.stdin.readline()
print(os.preadv(fd, [buffer], 0), flush=True)
