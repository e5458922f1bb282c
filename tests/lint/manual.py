#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""manual.py PROGRAM PAGE [VERB...]: --help and the man page name the same long options.

PAGE is the .scd source. Of each VERB the text of `PROGRAM VERB --help` is read too. The part of the page that follows
"# SEE ALSO" is not looked at, nor are options in lines that show another program (they begin with a blank or "$").
"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
import tree

OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]*[a-z0-9])")


def help_options(program, verbs):
    found = set()
    for words in [[], *([v] for v in verbs)]:
        run = subprocess.run([program, *words, "--help"], capture_output=True, text=True, timeout=20)
        if run.returncode:
            raise SystemExit(f"{program} {' '.join(words)} --help: exit {run.returncode}\n{run.stderr}")
        found |= set(OPTION.findall(run.stdout))
    return found


def page_options(page):
    with open(page, encoding="utf-8") as f:
        text = f.read().split("\n# SEE ALSO")[0]
    lines = [line for line in text.split("\n") if not line.startswith((" ", "\t$", "\t#"))]
    return set(OPTION.findall("\n".join(lines).replace("\\", "")))


def check(program, page, *verbs):
    in_help, in_page = help_options(program, verbs), page_options(page)
    name = os.path.basename(page)
    return [f"--{o}: in --help, not in {name}" for o in sorted(in_help - in_page)] + [
        f"--{o}: in {name}, not in --help" for o in sorted(in_page - in_help)
    ]


def self_test():
    script = '#!/bin/sh\ncase $1 in verb) echo "  --inner=X  y";; *) echo "-a --both | --only-help";; esac\n'
    page = "prog(1)\n\n*--both*, *--inner*=_X_\n\t$ other --not-ours\n*--only\\-page*\n\n# SEE ALSO\n\n--elsewhere\n"
    with tree.made_up({"prog": script, "prog.1.scd": page}) as root:
        os.chmod(os.path.join(root, "prog"), 0o755)
        tree.expect(
            check(os.path.join(root, "prog"), os.path.join(root, "prog.1.scd"), "verb"),
            "--only-help: in --help",
            "--only-page: in prog.1.scd",
        )


if __name__ == "__main__":
    tree.main(check, self_test)
