#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""features.py [NAME…]: builds rawview without each feature of meson_options.txt alone, or those named, and runs suites unit and format there.

features.py --options: what meson is told to leave out all of them, a line for each. CI builds that one: tests/run.sh.
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def features():
    with open(os.path.join(ROOT, "meson_options.txt"), encoding="utf-8") as f:
        text = f.read()
    # What is left out anyhow is part of every other build.
    return [name for name, value in re.findall(r"^option\('([^']+)', type: 'feature', value: '([^']+)'", text, re.M) if value != "disabled"]


def run(log, *command):
    return not subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, check=False).returncode


def build_without(name):
    folder = os.path.join("build", "without", name)
    os.makedirs(os.path.join(ROOT, folder), exist_ok=True)
    with open(os.path.join(ROOT, folder + ".log"), "wb") as log:
        setup = ["meson", "setup", folder, "--werror", f"-D{name}=disabled"]
        if os.path.exists(os.path.join(ROOT, folder, "build.ninja")):
            setup.insert(2, "--reconfigure")
        return (
            run(log, *setup)
            and run(log, "meson", "compile", "-C", folder)
            and run(log, "meson", "test", "-C", folder, "--no-rebuild", "--suite", "unit", "--suite", "format", "--print-errorlogs")
        )


def check(names):
    unknown = [name for name in names if name not in features()]
    if unknown:
        print(f"there is no feature {unknown[0]}; there are: {' '.join(features())}", file=sys.stderr)
        return 2
    failed = False
    for name in names or features():
        fine = build_without(name)
        print(f"without {name}: {'builds, and its tests pass' if fine else f'see build/without/{name}.log'}", flush=True)
        failed = failed or not fine
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--options"]:
        print("\n".join(f"-D{feature}=disabled" for feature in features()))
    else:
        sys.exit(check(sys.argv[1:]))
