#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# compare.sh [--check DOCUMENT]: README's comparison table, tried; see compare.py. `./dev compare` installs the peers and prints it.
[ $# -lt 2 ] || set -- "$1" "$(realpath "$2")"
. "$(dirname "$0")/../integration/lib.sh"

step "the peers"
mkdir peers
cd peers
"$PYTHON" -B "$HERE/../documents/compare.py" "$@"
no_mount_left
