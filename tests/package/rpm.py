#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""rpm.py ROOT BUILD: rpmlint and rpmspec read packaging/rawview.spec, with and without SELinux, and it has all that is installed.

What is installed is what meson says of BUILD, with the folders that Fedora has. Exit 77 without rpmlint or rpmspec.
"""
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys

# As systemd-rpm-macros has them.
MACROS = {
    "_unitdir": "/usr/lib/systemd/system",
    "_userunitdir": "/usr/lib/systemd/user",
    "_systemdgeneratordir": "/usr/lib/systemd/system-generators",
    "_systemdusergeneratordir": "/usr/lib/systemd/user-generators",
    "_sysusersdir": "/usr/lib/sysusers.d",
    "_tmpfilesdir": "/usr/lib/tmpfiles.d",
    "_udevrulesdir": "/usr/lib/udev/rules.d",
    "_journalcatalogdir": "/usr/lib/systemd/catalog",
    "_sbindir": "/usr/sbin",
    "_libexecdir": "/usr/libexec",
}
# Debian's AppArmor is no part of it.
NOT_PACKED = re.compile(r"apparmor")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True)


def packed(spec):
    defines = [word for name, value in MACROS.items() for word in ("--define", f"{name} {value}")]
    text = run("rpmspec", "-P", *defines, spec).stdout
    files = re.search(r"^%files\n(.*?)^%changelog", text, re.M | re.S).group(1)
    return [line.split()[-1] for line in files.split("\n") if line.startswith("/")]


def installed(build):
    with open(os.path.join(build, "meson-info", "intro-installed.json"), encoding="utf-8") as f:
        paths = json.load(f).values()
    return {re.sub(r"^/lib/", "/usr/lib/", p) for p in paths if not NOT_PACKED.search(p)}


def check_files(spec, build):
    patterns, paths = packed(spec), installed(build)
    for path in sorted(paths):
        if not any(fnmatch.fnmatch(path, p) for p in patterns):
            yield f"{path}: is installed, and no line of %files has it"
    for p in patterns:
        if not any(fnmatch.fnmatch(path, p) for path in paths):
            yield f"{p}: in %files, and not installed"


def check_links(spec, build):
    """Links of one name to several places are one entry for meson; all of %files are looked for by name instead."""
    paths = {os.path.basename(p) for p in installed(build)}
    return [c for c in check_files(spec, build) if not (" in %files" in c and os.path.basename(c.split(":")[0]) in paths)]


def check_needs(root, spec):
    """It needs what meson asks pkg-config for, and cannot do without."""
    with open(os.path.join(root, "meson.build"), encoding="utf-8") as f:
        wanted = re.findall(r"= dependency\('([^']+)'(?!.*required: false)", f.read())
    with open(spec, encoding="utf-8") as f:
        needed = re.findall(r"^BuildRequires:  (?:pkgconfig\(([^)]+)\)|(\S+)-devel)", f.read(), re.M)
    known = {name for pair in needed for name in pair} | {"threads"}
    return [f"{name}: a dependency in meson.build, and no BuildRequires" for name in wanted if name not in known]


def check(root, build):
    for program in ("rpmlint", "rpmspec"):
        if not shutil.which(program):
            print(f"needs {program} (./dev deps)")
            sys.exit(77)
    spec = os.path.join(root, "packaging", "rawview.spec")
    complaints = []
    lint = run("rpmlint", "--strict", "-r", os.path.join(root, "packaging", "rawview.rpmlintrc"), spec)
    if lint.returncode:
        complaints.append(lint.stdout + lint.stderr)
    for condition in ("--with", "--without"):
        read = run("rpmspec", "-P", condition, "selinux", spec)
        if read.returncode or read.stderr:
            complaints.append(f"rpmspec {condition} selinux: {read.stderr}")
    with open(os.path.join(root, "meson.build"), encoding="utf-8") as f:
        version = re.search(r"^    version: '(.*)',$", f.read(), re.M).group(1)
    told = run("rpmspec", "-q", "--srpm", "--qf", "%{version}", spec).stdout
    if told != version:
        complaints.append(f"version {told}, in meson.build {version}")
    complaints += check_needs(root, spec)
    complaints += check_links(spec, build)
    print("\n".join(complaints) or f"{len(packed(spec))} entries of %files are what is installed, and rpmlint is content")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(check(*sys.argv[1:]))
