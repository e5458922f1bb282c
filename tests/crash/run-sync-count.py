#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""run-sync-count.py SYNC-COUNT: makes the images that the program `sync-count` wants, and runs it."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
import images

NAMES = ("4k", "packed-4k", "snapshot-4k", "base-shorter", "512-64bit", "512-tables", "data-4k", "bitmap")


def main(program):
    if not images.can_make():
        return 1 if os.environ.get("CI") == "true" else 77
    with images.work_folder() as work:
        for name in NAMES:
            os.mkdir(f"{work}/{name}")
            images.make_image(images.IMAGES[name], f"{work}/{name}")
        return subprocess.run([program, work]).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
