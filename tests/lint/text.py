#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""text.py ROOT: what every text file owes its reader.

An SPDX line first (after #! in scripts, after #compdef for zsh and after <?xml; prose, man pages, files that have no comments, and what of debian/ is no script are free of it),
no word that marks something as unfinished, nothing that a merge has left, no path that exists on one machine only, no tabs (but in makefiles) or blanks at line ends in
code.
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(__file__))
import tree

SPDX = "SPDX-License-Identifier: LGPL-2.1-or-later"
NO_SPDX = re.compile(r"(^|/)(LICENSE|\.gitignore|\.clang-format|\.editorconfig|\.gitattributes)$|\.(md|scd|json|txt|image|conf|qcow2)$|^tests/fuzz/(corpus|crash)/")
WITH_SPDX_ANYWAY = {"meson_options.txt"}
# Each file there has a syntax of its own, and debian/copyright speaks for all.
DEBIAN = re.compile(r"^debian/")
# Put together from halves, so that this file does not complain of itself.
ELSEWHERE = ["../" + "shared", "/wo" + "rk/", "/tmp/" + "wt/"]
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|for n" + r"ow|HA" + r"CK)\b")
MERGE = re.compile(r"(<{7}|>{7}|\|{7}) ")
CODE = (".c", ".h", ".py", ".sh", ".build", ".in")


def complain(name, text):
    lines = text.split("\n")
    free = NO_SPDX.search(name) or (DEBIAN.search(name) and not lines[0].startswith("#!"))
    if name in WITH_SPDX_ANYWAY or not free:
        at = 1 if lines[0].startswith(("#!", "#compdef ", "<?xml ")) else 0
        if at >= len(lines) or SPDX not in lines[at]:
            yield f"{name}: line {at + 1} should be the SPDX line"
    for i, line in enumerate(lines, 1):
        for word in ELSEWHERE:
            if word in line:
                yield f"{name}:{i}: names {word}, which only one machine has"
        if MERGE.match(line):
            yield f"{name}:{i}: a conflict of a merge"
        code = name.endswith(CODE) or lines[0].startswith("#!")
        if code and line != line.rstrip():
            yield f"{name}:{i}: blanks at the end of the line"
        if code and "\t" in line and not lines[0].endswith("make -f"):
            yield f"{name}:{i}: a tab"
        if code and UNFINISHED.search(line):
            yield f"{name}:{i}: says that something is unfinished"
    if text and not text.endswith("\n"):
        yield f"{name}: no newline at the end"


def check(root):
    complaints = []
    for name in tree.files(root):
        with open(os.path.join(root, name), "rb") as f:
            raw = f.read()
        if raw and b"\0" not in raw:
            complaints += complain(name, raw.decode("utf-8", "replace"))
    return complaints


def self_test():
    with tree.made_up({
        "a.c": f"/* {SPDX} */\nint a;\n",
        "b.sh": f"#!/bin/sh\n# {SPDX}\n",
        "README.md": "# text\n",
        "debian/control": "Source: a\n",
        "debian/rules": f"#!/usr/bin/make -f\n# {SPDX}\n%:\n\tdh $@\n",
        "disk.img": "\0\0",
    }) as root:
        tree.expect(check(root))
    with tree.made_up({
        "a.c": "int a;\n",
        "b.sh": "#!/bin/sh\necho\n",
        "c.h": f"/* {SPDX} */\n/* see {ELSEWHERE[0]}/x */ \n\tint a;",
        "d.py": f"# {SPDX}\n# TO" + "DO\n",
        "debian/tests/x": "#!/bin/sh\n",
        "e.md": "look at " + ELSEWHERE[1] + "main\n" + ">" * 7 + " 3bc3afc\n",
    }) as root:
        tree.expect(
            check(root),
            "a.c: line 1 should be",
            "b.sh: line 2 should be",
            "c.h:2: names",
            "c.h:2: blanks",
            "c.h:3: a tab",
            "c.h: no newline",
            "d.py:2: says",
            "debian/tests/x: line 2 should be",
            "e.md:1: names",
            "e.md:2: a conflict",
        )


if __name__ == "__main__":
    tree.main(check, self_test)
