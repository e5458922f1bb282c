#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""pages.py BUILD: every program and every unit that is installed has a man page of its name. Exit 77 without man pages."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(__file__))
import tree

PROGRAM = re.compile(r"/(s?bin|libexec/rawview|[a-z]+-generators|udev)/[^/]+$")
UNIT = re.compile(r"/systemd/(system|user)/[^/]+$")
PAGE = re.compile(r"/man/man([1-8])/([^/]+)\.\1$")


def missing(paths):
    pages = {m.group(2) for p in paths if (m := PAGE.search(p))}
    explained = {os.path.basename(p): p for p in sorted(paths) if PROGRAM.search(p) or UNIT.search(p)}
    return [f"{path}: is installed, and has no man page" for name, path in explained.items() if name not in pages]


def check(build):
    with open(os.path.join(build, "meson-info", "intro-installed.json"), encoding="utf-8") as f:
        paths = list(json.load(f).values())
    if not any(PAGE.search(p) for p in paths):
        print("no man pages here: scdoc is missing")
        sys.exit(77)
    return missing(paths)


def self_test():
    names = ["bin/a", "libexec/rawview/b", "lib/systemd/system/c@.service", "lib/systemd/system-generators/d", "lib/udev/e"]
    others = ["lib/udev/rules.d/61-x.rules", "share/x/y", "lib/systemd/catalog/z", "lib/systemd/user/w.wants/c@.service"]
    pages = ["share/man/man1/a.1", "share/man/man8/c@.service.8", "share/man/man8/b.1"]
    tree.expect(missing([f"/usr/{p}" for p in names + others + pages]), "/b:", "/d:", "/e:")


if __name__ == "__main__":
    tree.main(check, self_test)
