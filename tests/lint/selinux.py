#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""selinux.py ROOT: the SELinux module compiles against the reference policy's interfaces.

Nothing else is known of it: policy/selinux/README.md. Exit 77 without selinux-policy-dev, checkpolicy and semodule-utils.
"""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))
import tree

MAKEFILE = "/usr/share/selinux/devel/Makefile"
FOLDER = "policy/selinux"
FILES = ("rawview.te", "rawview.if", "rawview.fc")


def check(root):
    if not os.path.exists(MAKEFILE) or not shutil.which("checkmodule") or not shutil.which("semodule_package"):
        print("no selinux-policy-dev, checkpolicy and semodule-utils here")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="rawview-lint.") as place:
        for name in FILES:
            shutil.copy(os.path.join(root, FOLDER, name), place)
        run = subprocess.run(["make", "-s", "-f", MAKEFILE, "rawview.pp"], cwd=place, capture_output=True, text=True)
        said = [line for line in (run.stdout + run.stderr).splitlines() if "rror" in line or "arning" in line]
        if run.returncode or said or not os.path.exists(os.path.join(place, "rawview.pp")):
            return [f"{FOLDER}: {line}" for line in said] or [f"{FOLDER}: no module: {run.stderr}"]
    return []


def self_test():
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    good = {f"{FOLDER}/{name}": tree.read(here, f"{FOLDER}/{name}") for name in FILES}
    with tree.made_up(good) as root:
        tree.expect(check(root))
    rules = good[f"{FOLDER}/rawview.te"]
    for bad in (
        rules.replace("type rawview_worker_t;\n", ""),
        rules.replace("domtrans_pattern(rawviewd_t, rawview_worker_exec_t", "domtrans_pattern(rawviewd_t, rawview_nothing_t"),
        rules.replace("file { rw_file_perms mounton }", "file { rw_file_perms mounton nothing }"),
    ):
        with tree.made_up({**good, f"{FOLDER}/rawview.te": bad}) as root:
            assert bad != rules and check(root), "a module that is wrong compiles"


if __name__ == "__main__":
    tree.main(check, self_test)
