#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""keys.py ROOT: rawview.image(5) describes each key of the table in config.c, in its section, and no other.

Keys that a later version serves (.later) are not described. The part RELOAD of the page names those that change at once: their .effect
is a CONFIG_SETS_…
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
    at_once = {k for _, k, _, rest in ENTRY.findall(tree.read(root, TABLE)) if "CONFIG_SETS_" in rest}
    described, reloaded = set(), set()
    for part in tree.read(root, PAGE).split("\n# ")[1:]:
        heading = re.match(r"\[(\w+)\] SECTION", part)
        if part.startswith("RELOAD\n"):
            reloaded = {k for line in part.split("\n") if line.startswith("*") for k in re.findall(r"\*(\w+)=\*", line)}
        if heading:
            for line in part.split("\n"):
                if line.startswith("*"):
                    described |= {(heading.group(1).capitalize(), k) for k in re.findall(r"\*(\w+)=\*", line)}
    return (
        [f"{PAGE}: says nothing of [{s}] {k}=" for s, k in sorted(served - described)]
        + [f"{PAGE}: describes [{s}] {k}=, which {TABLE} does not serve" for s, k in sorted(described - served)]
        + [f"{PAGE}: RELOAD does not name {k}=" for k in sorted(at_once - reloaded)]
        + [f"{PAGE}: RELOAD names {k}=, which wants a restart" for k in sorted(reloaded - at_once)]
    )


def self_test():
    table = """
        { "Image", "Path", "path", VALUE_PATH, .doc = "the image" },
        { "Image", "Key", "key", VALUE_PATH,
          .doc = "a file", .later = true },
        { "View", "Mode", "mode", VALUE_MODE,
          .doc = "a mode", .effect = CONFIG_SETS_MODE },
        { "Install", "Automatic", NULL, VALUE_BOOLEAN,
          .doc = "at boot" },
"""
    reload = "\n# RELOAD\n\nAt once:\n\n*Mode=*\n"
    page = "x(5)\n\n# NAME\n*No=*\n\n# [IMAGE] SECTION OPTIONS\n\n*Path=*\n\tSee *Mode=*.\n\n# [VIEW] SECTION OPTIONS\n\n"
    last = "\n# [INSTALL] SECTION OPTIONS\n\n*Automatic=*\n\tA boolean.\n"
    with tree.made_up({TABLE: table, PAGE: page + "*Mode=*\n\tA mode.\n" + last + reload}) as root:
        tree.expect(check(root))
    with tree.made_up({TABLE: table, PAGE: page + "*Key=*\n\tA key.\n"}) as root:
        tree.expect(
            check(root),
            "says nothing of [View] Mode=",
            "says nothing of [Install] Automatic=",
            "describes [View] Key=",
            "RELOAD does not name Mode=",
        )
    with tree.made_up({TABLE: table, PAGE: page + "*Mode=*\n\tA mode.\n" + last + reload.replace("Mode=*", "Mode=*, *Path=*")}) as root:
        tree.expect(check(root), "RELOAD names Path=, which wants a restart")


if __name__ == "__main__":
    tree.main(check, self_test)
