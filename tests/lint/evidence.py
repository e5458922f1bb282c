#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""evidence.py ROOT: each test that docs/SECURITY.md names is there, and each line of its tables of attacks names one.

Tests are named by suite: unit `base/err`, integration `deputy`, `swap`, system `unit`, vm `devices`, fuzz `name`, lint `layers`,
recipe `bad-qcow2-backing-fifo`, property `chain`. In a table whose last column is "test", that column holds such names, or
says "none:" and why.
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(__file__))
import tree

PAGE = "docs/SECURITY.md"
PLACES = {
    "unit": ("tests/unit/{}/test-{}.c", True),
    "integration": ("tests/integration/{}.sh", False),
    "system": ("tests/system/{}.sh", False),
    "vm": ("tests/vm/{}.sh", False),
    "fuzz": ("tests/fuzz/fuzz-{}.c", False),
    "lint": ("tests/lint/{}.py", False),
    "recipe": ("tests/recipe/{}.recipe", False),
    "property": ("tests/property/{}.c", False),
}
NAMED = re.compile(r"\b(" + "|".join(PLACES) + r") ((?:`[\w/-]+`(?:, )?)+)")


def place(suite, name):
    pattern, has_folder = PLACES[suite]
    if not has_folder:
        return pattern.format(name)
    folder, _, rest = name.rpartition("/")
    return pattern.format(folder, rest)


def tests_in(text):
    return [(suite, n) for suite, names in NAMED.findall(text) for n in re.findall(r"`([\w/-]+)`", names)]


def rows_without(text):
    """The first cells of rows that name no test, in tables whose last column is called "test"."""
    inside = False
    for line in text.split("\n"):
        cells = [c.strip() for c in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            inside = False
        elif cells[-1] == "test":
            inside = True
        elif inside and not set(line) <= set("|-: ") and not tests_in(cells[-1]) and not cells[-1].startswith("none:"):
            yield cells[0]


def check(root):
    text = tree.read(root, PAGE)
    named = tests_in(text)
    if not named:
        return [f"{PAGE}: names no test that evidence.py can read"]
    return [
        f"{PAGE}: names {suite} `{name}`, and there is no {place(suite, name)}"
        for suite, name in sorted(set(named))
        if not os.path.exists(os.path.join(root, place(suite, name)))
    ] + [f"{PAGE}: '{row}' names no test" for row in rows_without(text)]


def self_test():
    page = """
| attack | test |
|---|---|
| good | unit `base/err`, `base/gone`; integration `here` |
| bad | none |
| open | none: nobody can |

Also fuzz `away`.
"""
    with tree.made_up({PAGE: page, "tests/unit/base/test-err.c": "", "tests/integration/here.sh": ""}) as root:
        tree.expect(check(root), "unit `base/gone`", "fuzz `away`", "'bad' names no test")


if __name__ == "__main__":
    tree.main(check, self_test)
