#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""headers.py ROOT BUILD CC...: each header compiles alone, twice in one unit, and opens with a paragraph.

Headers include what they need and nothing for others. Include folders of libraries are taken from the build's
compile_commands.json.
"""
import concurrent.futures
import json
import os
import shlex
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))
import tree

FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-DFUSE_USE_VERSION=314",
         "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-fsyntax-only", "-x", "c", "-"]


def include_folders(build):
    """-I and -isystem of every unit of the build, as absolute paths."""
    found = set()
    commands = os.path.join(build, "compile_commands.json")
    if not os.path.exists(commands):
        return []
    with open(commands, encoding="utf-8") as f:
        for unit in json.load(f):
            for word in shlex.split(unit["command"]):
                if word.startswith("-I") and len(word) > 2 and not word.endswith(".p"):
                    found.add(os.path.normpath(os.path.join(unit["directory"], word[2:])))
    return sorted(found)


def compile_alone(cc, flags, name):
    target = name.removeprefix("src/")
    unit = f'#include "{target}"\n#include "{target}"\ntypedef int not_empty;\n'
    run = subprocess.run([*cc, *flags, *FLAGS], input=unit, capture_output=True, text=True)
    return f"{name}: does not compile alone:\n{run.stderr.rstrip()}" if run.returncode else None


def check(root, build, *cc):
    complaints = []
    names = [n for n in tree.files(root) if n.startswith("src/") and n.endswith(".h")]
    for name in names:
        second = tree.read(root, name).split("\n")[1:2]
        if second != ["/*"]:
            complaints.append(f"{name}: does not open with a paragraph that says what it is")
    flags = ["-I" + os.path.join(root, "src"), "-I" + build] + ["-I" + f for f in include_folders(build)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        complaints += [c for c in pool.map(lambda n: compile_alone(list(cc), flags, n), names) if c]
    return complaints


def self_test():
    opening = "/* SPDX */\n/*\n * What it is.\n */\n#pragma once\n"
    with tree.made_up({
        "src/a/good.h": opening + "#include <stdint.h>\ntypedef struct A { uint8_t b; } A;\n",
        "src/a/needy.h": opening + "uint8_t f(void);\n",
        "src/a/twice.h": opening.replace("#pragma once\n", "") + "typedef struct B { int c; } B;\n",
        "src/a/mute.h": "/* SPDX */\n#pragma once\n",
    }) as root, tempfile.TemporaryDirectory() as build:
        tree.expect(check(root, build, "cc"), "needy.h: does not compile", "twice.h: does not compile", "mute.h: does not open")


if __name__ == "__main__":
    tree.main(check, self_test)
