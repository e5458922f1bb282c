#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""keys.py ROOT: rawview.image(5) describes each key of the table in config.c, in its section, and no other.

Keys that a later version serves (.later) are not described.
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(__file__))
import tree

TABLE, PAGE = "src/config/config.c", "docs/man/rawview.image.5.scd"
ENTRY = re.compile(r'\{ "(Image|View|Install)", "(\w+)", ("[\w-]+"|NULL),(.*?) \},\n', re.S)


def check(root):
    served = {(s, k) for s, k, _, rest in ENTRY.findall(tree.read(root, TABLE)) if ".later" not in rest}
    if not served:
        return [f"{TABLE}: no table of keys that keys.py can read"]
    described = set()
    for part in tree.read(root, PAGE).split("\n# ")[1:]:
        heading = re.match(r"\[(\w+)\] SECTION", part)
        if heading:
            for line in part.split("\n"):
                if line.startswith("*"):
                    described |= {(heading.group(1).capitalize(), k) for k in re.findall(r"\*(\w+)=\*", line)}
    return [f"{PAGE}: says nothing of [{s}] {k}=" for s, k in sorted(served - described)] + [
        f"{PAGE}: describes [{s}] {k}=, which {TABLE} does not serve" for s, k in sorted(described - served)
    ]


def self_test():
    table = """
        { "Image", "Path", "path", VALUE_PATH, .doc = "the image" },
        { "Image", "Key", "key", VALUE_PATH,
          .doc = "a file", .later = true },
        { "View", "Mode", "mode", VALUE_MODE,
          .doc = "a mode" },
        { "Install", "Automatic", NULL, VALUE_BOOLEAN,
          .doc = "at boot" },
"""
    page = "x(5)\n\n# NAME\n*No=*\n\n# [IMAGE] SECTION OPTIONS\n\n*Path=*\n\tSee *Mode=*.\n\n# [VIEW] SECTION OPTIONS\n\n"
    last = "\n# [INSTALL] SECTION OPTIONS\n\n*Automatic=*\n\tA boolean.\n"
    with tree.made_up({TABLE: table, PAGE: page + "*Mode=*\n\tA mode.\n" + last}) as root:
        tree.expect(check(root))
    with tree.made_up({TABLE: table, PAGE: page + "*Key=*\n\tA key.\n"}) as root:
        tree.expect(
            check(root), "says nothing of [View] Mode=", "says nothing of [Install] Automatic=", "describes [View] Key="
        )


if __name__ == "__main__":
    tree.main(check, self_test)
