#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""install.py BUILD: `meson install` puts everything where it is looked for, whatever the prefix, and `ninja uninstall` leaves nothing.

What units, udev's rule, the desktop and profiles call is there under that name; links lead to something; folders are among those that systemd, udev,
polkit and AppArmor read.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

# What calls a program.
CALLS = re.compile(r'^(?:ExecStart|ExecStartPre|ExecReload|ExecStop|ExecStopPost|TryExec|Exec)=[-+!@:]*(\S+)|IMPORT\{program\}="(\S+)', re.M)
# The folder of a file is one of these.
READ = {
    "61-rawview.rules": ("/usr/local/lib/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d"),
    "rawview.rules": ("/etc/polkit-1/rules.d", "/usr/share/polkit-1/rules.d"),
    "rawview.catalog": ("/usr/local/lib/systemd/catalog", "/usr/lib/systemd/catalog"),
}
# Programs of the administrator, and where they are when their folder in the tree is not on the way.
SYSTEM_PREFIXES = ("/usr", "/usr/local")


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def files_in(tree):
    for folder, _, names in os.walk(tree):
        for name in names:
            yield os.path.join(folder, name)


def check_calls(tree, path):
    with open(path, "rb") as f:
        data = f.read()
    if data.startswith(b"\x7fELF"):
        return
    for found in CALLS.finditer(data.decode("utf-8", "replace")):
        program = found.group(1) or found.group(2)
        if not program.startswith("/"):
            yield f"{path[len(tree):]}: calls {program} without saying where it is"
        elif not os.access(tree + program if "rawview" in program else program, os.X_OK):
            yield f"{path[len(tree):]}: calls {program}, which is not there"


def check_links(tree, path):
    if os.path.islink(path):
        target = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
        if os.path.commonpath((target, tree)) != tree or not os.path.exists(target):
            yield f"{path[len(tree):]}: leads to {os.readlink(path)}, where nothing is"


def read_by_systemd():
    """The folders that systemd looks into, for units and generators of both its managers."""
    names = ("systemdsystemunitpath", "systemduserunitpath", "systemdsystemgeneratorpath", "systemdusergeneratorpath")
    return {p for name in names for p in run("pkg-config", f"--variable={name}", "systemd").strip().split(":")}


def check_folders(tree, path, folders):
    name, folder = os.path.basename(path), os.path.dirname(path[len(tree):])
    allowed = READ.get(name)
    if re.search(r"\.(service|target|slice)$|-generator$", name) and not folder.endswith(".wants"):
        allowed = folders
    elif "/apparmor.d/" in path:
        allowed = ("/etc/apparmor.d", "/etc/apparmor.d/tunables")
    # /lib may be a link to /usr/lib, or the other way round.
    if allowed and os.path.realpath(folder) not in {os.path.realpath(name) for name in allowed}:
        yield f"{path[len(tree):]}: nobody looks into this folder for it; there are {', '.join(sorted(allowed))}"


def check(build):
    with open(os.path.join(build, "meson-info", "intro-buildoptions.json"), encoding="utf-8") as f:
        prefix = next(option["value"] for option in json.load(f) if option["name"] == "prefix")
    if prefix not in SYSTEM_PREFIXES:
        print(f"nothing of the system looks below {prefix}")
        return 77
    with tempfile.TemporaryDirectory(prefix="rawview-install.") as work:
        tree = os.path.join(os.path.realpath(work), "tree")
        there = dict(os.environ, DESTDIR=tree)
        run("meson", "install", "-C", build, "--no-rebuild", "--quiet", env=there)
        folders = read_by_systemd()
        complaints, count = [], 0
        for path in files_in(tree):
            count += 1
            complaints += check_links(tree, path)
            if not os.path.islink(path):
                complaints += check_calls(tree, path)
            complaints += check_folders(tree, path, folders)
        run("ninja", "-C", build, "uninstall", env=there)
        complaints += [f"{path[len(tree):]}: is left by `ninja uninstall`" for path in files_in(tree)]
        complaints += [f"{path[len(tree):]}: an empty folder is left" for path, _, _ in os.walk(tree) if path.endswith("rawview")]
    print("\n".join(complaints) or f"below {prefix}: {count} files, each where it is looked for, and gone again")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(check(*sys.argv[1:]))
