#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""scripts.py ROOT: shellcheck says yes to every shell script. Exit 77 without shellcheck."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
import tree

SHELL = re.compile(r"#!(/usr)?/bin/(env )?(ba)?sh\b")


def check(root):
    if not shutil.which("shellcheck"):
        print("no shellcheck here")
        sys.exit(77)
    complaints, names = [], []
    for name in tree.files(root):
        with open(os.path.join(root, name), "rb") as f:
            head = f.read(64).decode("utf-8", "replace")
        if SHELL.match(head) or name.endswith(".sh"):
            names.append(name)
            if SHELL.match(head) and not os.access(os.path.join(root, name), os.X_OK):
                complaints.append(f"{name}: begins with #! and cannot be executed")
    if not names:
        return complaints
    run = subprocess.run(["shellcheck", "-f", "gcc", *names], cwd=root, capture_output=True, text=True)
    return complaints + (run.stdout + run.stderr).splitlines()


def self_test():
    with tree.made_up({"a.sh": "#!/bin/bash\nset -e\necho ok\n"}) as root:
        os.chmod(os.path.join(root, "a.sh"), 0o755)
        tree.expect(check(root))
    with tree.made_up({"b": "#!/bin/sh\nrm -rf $1\n"}) as root:
        tree.expect(check(root), "b: begins with #!", "b:2:8")


if __name__ == "__main__":
    tree.main(check, self_test)
