#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Views as memory: shared mappings read and write the disk (QEMU's test fuse-mmap-shared), private ones leave it alone.
. "$(dirname "$0")/lib.sh"

fill_file disk.raw 2M
cp disk.raw before.raw
: >mp

step "a shared mapping of a writable view writes to the image"
up view -f raw -w disk.raw mp
"$PYTHON" "$HERE/map-memory.py" shared mp
cp mp after.raw
"$PYTHON" "$HERE/map-memory.py" private mp
cmp mp after.raw
down view
cmp disk.raw after.raw
! cmp -s disk.raw before.raw || fail "nothing was written"

step "what was mapped and written without msync is there after munmap and the end"
up view -f raw -w disk.raw mp
"$PYTHON" - mp <<'PYTHON'
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(fd, os.fstat(fd).st_size)
m[1000000:1000006] = b"mapped"
m.close()
PYTHON
down view
equal "bytes in the image" "$(dd if=disk.raw bs=1 skip=1000000 count=6 status=none)" mapped

step "a private mapping of a writable view leaves it alone"
before=$(sha disk.raw)
up view -f raw -w disk.raw mp
"$PYTHON" "$HERE/map-memory.py" private mp
down view
equal "checksum of the image" "$(sha disk.raw)" "$before"

step "read-only views"
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
before=$(fingerprint disk.qcow2)
up view disk.qcow2 mp
"$PYTHON" "$HERE/map-memory.py" readonly mp
"$PYTHON" "$HERE/map-memory.py" private mp
equal "checksum of the mapping" "$("$PYTHON" "$HERE/map-memory.py" sum mp)" "$(sha disk.raw)"
down view
equal "the image" "$(fingerprint disk.qcow2)" "$before"
no_mount_left
