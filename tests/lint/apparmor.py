#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""apparmor.py ROOT: apparmor_parser compiles the profiles, and the lines for fusermount3 in the profile of tests/vm.

For the features that their abi states, whatever this kernel has. What they stop is seen in suite `vm`. Exit 77 without
apparmor_parser and its abstractions.
"""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))
import tree

SYSTEM = "/etc/apparmor.d"
# Where each file lies in /etc/apparmor.d, and which of them are compiled.
PLACES = {
    "policy/apparmor/rawview.in": "rawview",
    "policy/apparmor/tunables": "tunables/rawview",
    "policy/apparmor/fusermount3": "local/fusermount3",
    "tests/vm/fusermount3.profile": "fusermount3",
}
PROFILES = {"rawview": {"rawviewd", "rawview-worker"}, "fusermount3": {"fusermount3"}}


def parser():
    path = shutil.which("apparmor_parser") or shutil.which("apparmor_parser", path="/usr/sbin:/sbin")
    if not path or not os.path.exists(f"{SYSTEM}/abstractions/base") or not os.path.exists(f"{SYSTEM}/abi/3.0"):
        print("no apparmor_parser here")
        sys.exit(77)
    return path


def compile_profile(path, base, name):
    options = ["--skip-kernel-load", "--skip-cache", "--quiet", "--features-file", f"{SYSTEM}/abi/3.0"]
    options += ["--base", base, "--Include", SYSTEM, os.path.join(base, name)]
    run = subprocess.run([path, *options], capture_output=True, text=True)
    if run.returncode or "rror" in run.stderr:
        return [f"{name}: {(run.stderr or run.stdout).strip()}"]
    names = subprocess.run([path, "--names", *options], capture_output=True, text=True).stdout.split()
    return [] if set(names) == PROFILES[name] else [f"{name}: has the profiles {names}"]


def check(root):
    path = parser()
    with tempfile.TemporaryDirectory(prefix="rawview-lint.") as base:
        for source, place in PLACES.items():
            target = os.path.join(base, place)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "w", encoding="utf-8") as f:
                f.write(tree.read(root, source).replace("@libexecdir@", "/usr/libexec/rawview"))
        return [c for name in PROFILES for c in compile_profile(path, base, name)]


def self_test():
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    good = {source: tree.read(here, source) for source in PLACES}
    with tree.made_up(good) as root:
        tree.expect(check(root))
    own, lines = "policy/apparmor/rawview.in", "policy/apparmor/fusermount3"
    bad = {own: good[own].replace("/dev/fuse rw,", "/dev/fuse rwz,", 1), lines: good[lines].replace("**,", "**")}
    with tree.made_up({**good, **bad}) as root:
        tree.expect(check(root), "rawview: ", "fusermount3: ")
    with tree.made_up({**good, own: good[own].replace("profile rawview-worker {", "profile worker {")}) as root:
        tree.expect(check(root), "rawview: has the profiles")
    with tree.made_up({**good, "policy/apparmor/tunables": "@{rawview_images}=/srv/\n"}) as root:
        tree.expect(check(root), "rawview_devices")


if __name__ == "__main__":
    tree.main(check, self_test)
