#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vmdk-stream.py SOURCE IMAGE: a streamOptimized VMDK of a raw disk, made by Debian's python3-vmdkstream."""
import sys

import VMDKstream

if __name__ == "__main__":
    VMDKstream.convert_to_stream(*sys.argv[1:])
