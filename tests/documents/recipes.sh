#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# recipes.sh DOCUMENT: what a document of this repository says is done, and compared with what it shows; see recipes.py.
document=$(realpath "$1")
. "$(dirname "$0")/../integration/lib.sh"
. "$HERE/../documents/machine.sh"

step "$document"
cd /
"$PYTHON" "$HERE/../documents/recipes.py" "$document" "$W/work"
no_mount_left
