#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# As in suite `system`.
exec bash /payload/recipes.sh
