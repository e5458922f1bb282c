#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""sizes.py ROOT: nothing grows until nobody can read it.

A function has at most 100 lines and 7 parameters, a file 600 lines, each folder of a format driver 3,000 lines.
There are no exceptions: split instead. Functions are found by clang-format's layout, which suite lint enforces: a
definition starts and its braces stand in the first column.
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(__file__))
import tree

FUNCTION_LINES, PARAMETERS, FILE_LINES, DRIVER_LINES = 100, 7, 600, 3000
CODE = (".c", ".h")
SCRIPTS = (".py", ".sh")

COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
# A name and a list in parentheses at the outermost level, followed by `{` or `;` (maybe with attributes between).
DECLARATION = re.compile(r"^[A-Za-z_][^;{}=]*?\b(\w+)\s*(\((?:[^(){};]|\((?:[^(){};]|\([^(){};]*\))*\))*\))[^;{}()=]*?(?:__attribute__\s*\(\(.*?\)\)\s*)?[;{]", re.M | re.S)


def plain(text):
    """The text without comments and string contents, with all line breaks kept."""
    return COMMENT_OR_TEXT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()) if m.group()[0] == "/" else '""', text)


def count_parameters(text):
    """Of "(a, b(*)(c, d), e)": 3."""
    inner = text[1:-1].strip()
    if inner in ("", "void"):
        return 0
    depth = count = 0
    for c in inner:
        depth += {"(": 1, ")": -1}.get(c, 0)
        count += c == "," and depth == 0
    return count + 1


def functions(text):
    """(name, line of the opening, number of lines) of every definition."""
    lines = text.split("\n")
    start = None
    for i, line in enumerate(lines):
        if line == "{":
            start = i
        elif line == "}" and start is not None:
            head = start - 1
            while head > 0 and lines[head - 1].strip() and not lines[head - 1].startswith(("#", "}")) \
                    and not lines[head - 1].rstrip().endswith(";"):
                head -= 1
            name = re.search(r"(\w+)\s*\(", " ".join(lines[head:start]))
            yield (name.group(1) if name else "?"), head + 1, i - head + 1
            start = None


def check(root):
    complaints, drivers = [], {}
    for name in tree.files(root):
        text = tree.read(root, name)
        script = name.endswith(SCRIPTS) or text.startswith("#!")
        if not name.endswith(CODE) and not script:
            continue
        count = text.count("\n")
        if count > FILE_LINES:
            complaints.append(f"{name}: {count} lines; a file has at most {FILE_LINES}")
        if script:
            continue
        driver = re.match(r"src/format/(\w+(?:/\w+)*)/", name)
        if driver:
            drivers[driver.group(1)] = drivers.get(driver.group(1), 0) + count
        bare = plain(text)
        for function, line, length in functions(bare):
            if length > FUNCTION_LINES:
                complaints.append(f"{name}:{line}: {function} has {length} lines; a function has at most {FUNCTION_LINES}")
        for m in DECLARATION.finditer(bare):
            parameters = count_parameters(m.group(2))
            if parameters > PARAMETERS:
                line = bare.count("\n", 0, m.start()) + 1
                complaints.append(f"{name}:{line}: {m.group(1)} has {parameters} parameters; at most {PARAMETERS}")
    for driver, count in drivers.items():
        if count > DRIVER_LINES:
            complaints.append(f"src/format/{driver}: {count} lines; a folder of a driver has at most {DRIVER_LINES}")
    return complaints


def self_test():
    seven = "static int seven(int a, int b, int c, int d, int (*e)(int, int), int f,\n                 int g)\n{\n}\n"
    eight = "int eight(int a,\n          int b,\n          int c, int d, int e, int f, int g, void (*h)(int));\n"
    filler = "        call(1, 2, 3, 4, 5, 6, 7, 8, 9);\n"
    full = "int full(void)\n{\n" + filler * 97 + "}\n"
    over = "int over(int a,\n         int b)\n{\n" + filler * 97 + "}\n"
    with tree.made_up({"src/a/ok.c": seven + full, "a.h": "\n" * 600}) as root:
        tree.expect(check(root))
    with tree.made_up({
        "src/a/bad.c": seven + eight + full + over,
        "src/a/long.h": "\n" * 601,
        "tests/long": "#!/bin/bash\n" + "\n" * 600,
        **{f"src/format/big/{i}.c": "\n" * 600 for i in range(10)}, "src/format/big/last.c": "\n" * 4,
    }) as root:
        tree.expect(check(root), "eight has 8 parameters", "over has 101 lines", "long.h: 601", "tests/long: 601", "src/format/big: 6004")


if __name__ == "__main__":
    tree.main(check, self_test)
