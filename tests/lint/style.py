#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""style.py ROOT: clang-format says yes to every .c and .h, to the letter. Exit 77 without clang-format 14.

Another version of clang-format lays out some lines differently, so only the one of Debian 12 is asked.
"""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
import tree


def clang_format():
    for name in ("clang-format-14", "clang-format"):
        path = shutil.which(name)
        if path and " 14." in subprocess.run([path, "--version"], capture_output=True, text=True).stdout:
            return path
    print("no clang-format 14 here")
    sys.exit(77)


def check(root):
    names = [n for n in tree.files(root) if n.endswith((".c", ".h"))]
    program = clang_format()
    if not names:
        return []
    run = subprocess.run([program, "--dry-run", "--Werror", *names], cwd=root, capture_output=True, text=True)
    if run.returncode == 0:
        return []
    wrong = sorted({line.split(":")[0] for line in run.stderr.splitlines() if "error:" in line})
    return [f"{n}: not as clang-format has it; run ./dev format" for n in wrong] or [run.stderr]


def self_test():
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    rules = tree.read(here, ".clang-format")
    with tree.made_up({".clang-format": rules, "good.c": "int main(void)\n{\n        return 0;\n}\n"}) as root:
        tree.expect(check(root))
    with tree.made_up({".clang-format": rules, "bad.c": "int main(void) {\n  return 0;\n}\n"}) as root:
        tree.expect(check(root), "bad.c: not as clang-format has it")


if __name__ == "__main__":
    tree.main(check, self_test)
