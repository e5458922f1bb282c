#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""messages.py SAID PAGE…: every message that the man pages show was said, and said as they show it.

PAGE is the .scd source of a man page. Its messages are the bold lines beneath "# MESSAGES"; a word in capitals there matches
anything. SAID has what programs really said, a line of "## NAME" before what was provoked under that name. Each message
must be a whole line of it, and each NAME must have said one of the messages.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lint"))
import tree

PREFIX = re.compile(r"^rawview(d| [a-z]+)?: ")
WORD = re.compile(r"\b[A-Z]+\b")
# In capitals, and to be taken literally.
LITERAL = {"SIGTERM"}


def messages(text):
    part = re.search(r"^# MESSAGES\n(.*?)^# ", text, re.M | re.S)
    lines = re.findall(r"\n\n\*(.*)\*\n\t", part.group(1)) if part else []
    return [line.replace("\\", "") for line in lines]


def pattern(message):
    done, at = "", 0
    for word in WORD.finditer(message):
        if word.group() in LITERAL:
            continue
        done += re.escape(message[at:word.start()]) + ".+"
        at = word.end()
    return re.compile(done + re.escape(message[at:]))


def heard(text):
    said, name = {}, None
    for line in text.splitlines():
        if line.startswith("## "):
            name = line[3:]
            said[name] = []
        elif name:
            said[name].append(PREFIX.sub("", line))
    return said


def check(said, *pages):
    said = heard(tree.read("", said))
    complaints, known = [], []
    for page in pages:
        name = os.path.basename(page)
        found = messages(tree.read("", page))
        known += [pattern(m) for m in found]
        complaints += [] if found else [f"{name}: no message beneath # MESSAGES"]
        complaints += [
            f"{name}: nobody says: {m}"
            for m in found
            if not any(pattern(m).fullmatch(line) for lines in said.values() for line in lines)
        ]
    return complaints + [
        f"'{name}' says what no page has: {' / '.join(lines) or 'nothing'}"
        for name, lines in said.items()
        if not any(p.fullmatch(line) for p in known for line in lines)
    ]


def self_test():
    page = "# MESSAGES\n\nText.\n\n*FILE: is held (pid PID), 'rawview' says*\n\tWait.\n\n*never said*\n\tNo.\n\n# NEXT\n\n*other*\n\tNo.\n"
    said = "## held\nrawview mount: a.img: is held (pid 7), 'rawview' says\nand more\n## strange\nrawview: what\n## mute\n"
    with tree.made_up({"a.scd": page, "b.scd": "# MESSAGES\n\n# NEXT\n", "said": said}) as root:
        at = [os.path.join(root, name) for name in ("said", "a.scd", "b.scd")]
        tree.expect(check(*at), "a.scd: nobody says: never said", "b.scd: no message", "'strange' says", "'mute' says")


if __name__ == "__main__":
    tree.main(check, self_test)
