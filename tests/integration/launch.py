#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""launch.py MOUNTPOINT OPTIONS N COMMAND...: mounts a FUSE file system there as mount.fuse3 does with drop_privileges, and becomes
COMMAND, which gets the connection as descriptor N. OPTIONS are those of the mount, "@" in them is the descriptor."""
import ctypes
import os
import sys

mount_point, options, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
connection = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
if options and libc.mount(b"launched", mount_point.encode(), b"fuse.rawview", 6, options.replace("@", str(connection)).encode()) < 0:
    raise SystemExit(f"mount: {os.strerror(ctypes.get_errno())}")
if connection != number:
    os.dup2(connection, number)
os.set_inheritable(number, True)
os.execvp(sys.argv[4], sys.argv[4:])
