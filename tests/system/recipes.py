#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A document's recipes in a machine that has no Python: recipes.py of suite `documents`, in two halves.

recipes.py write SUITE DOCUMENT FOLDER      each step becomes a file of FOLDER, for recipes.sh: NUMBER.USER is what this user types,
                                            with NUMBER.refused beside it when that has to fail; NUMBER.file is a file, its path in
                                            the first line.
recipes.py compare SUITE DOCUMENT FOLDER    what each step has printed, NUMBER.out, with what the document shows.

SUITE is `vm` for the sections that say <!-- scene: vm -->, or `system` for the others, whose files are there in `vm` too. Each section
begins where those before it end.
"""
import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "documents"))
sys.dont_write_bytecode = True
import recipes  # noqa: E402 (the path comes first)


def steps_of(suite, document):
    """What is done in the machine of this suite: number of the step, and the step."""
    with open(document, encoding="utf-8") as f:
        sections, left = recipes.parse(f.read())
    for line, kind, why in left:
        print(f"   line {line} {kind}: {why}")
    assert {section.scene for section in sections} <= {None, "vm"}
    steps = [(section.scene or "system", step) for section in sections for step in section.steps]
    return [(i, step) for i, (where, step) in enumerate(steps) if where == suite or (where == "system" and step[1] == "write")]


def write(steps, folder):
    for number, step in steps:
        if step[1] == "run":
            name, text = f"{number:03}.{step[2]}", step[3] + "\n"
            if recipes.REFUSED.search(step[3].split("\n")[0]):
                open(os.path.join(folder, f"{number:03}.refused"), "w", encoding="utf-8").close()
        else:
            name, text = f"{number:03}.file", f"{step[2]}\n{step[3]}"
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)
    return 0


def compare(steps, folder):
    run, bad = [(number, step) for number, step in steps if step[1] == "run"], 0
    for number, step in run:
        with open(os.path.join(folder, f"{number:03}.out"), encoding="utf-8", errors="replace") as f:
            seen = f.read().split("\n")
        if not recipes.matches(step[4], seen):
            print(f"line {step[0]}: `{step[3]}` prints:", *seen, "and the document shows:", *step[4], sep="\n")
            bad += 1
    print(f"in numbers: {len(run)} commands of the document run, {bad} print something else")
    return 1 if bad or not run else 0


if __name__ == "__main__":
    WHAT, SUITE, DOCUMENT, FOLDER = sys.argv[1:]
    sys.exit({"write": write, "compare": compare}[WHAT](steps_of(SUITE, DOCUMENT), FOLDER))
