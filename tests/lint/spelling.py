#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""spelling.py ROOT: codespell finds no slip in any text file. Exit 77 without codespell."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
import tree

# What is spelt so in a specification (the signature of VHD), what "\nd" in C looks like, the suffix of SELinux's rules, and an MBR to parted.
OURS = "conectix,nd,te,msdos"


def check(root):
    if not shutil.which("codespell"):
        print("no codespell here")
        sys.exit(77)
    names = [n for n in tree.files(root) if os.path.basename(n) != "LICENSE"]
    run = subprocess.run(["codespell", "-L", OURS, *names], cwd=root, capture_output=True, text=True)
    return run.stdout.splitlines() or (run.stderr.splitlines() if run.returncode else [])


def self_test():
    with tree.made_up({"a.md": "The conectix signature is separate.\n"}) as root:
        tree.expect(check(root))
    with tree.made_up({"a.c": "/* a sep" + "erate place */\n"}) as root:
        tree.expect(check(root), "a.c:1:")


if __name__ == "__main__":
    tree.main(check, self_test)
