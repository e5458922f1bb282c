#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""catalog.py ROOT: units/rawview.catalog explains each MESSAGE_ID of event-id.h once, and no other.

Each entry has Subject, Defined-By: rawview, Support, Documentation and a text of some length. Its Subject and text name
only fields that every such message has: of a field that is not there journalctl shows the bare "@NAME@".
"""
import collections
import os
import re
import sys

sys.path.insert(0, os.path.dirname(__file__))
import tree

IDS, CATALOG = "src/supervisor/event-id.h", "units/rawview.catalog"
DEFINED = re.compile(r'^#define EVENT_ID_(\w+) "([^"]*)"$', re.M)
HEADERS = ("Subject", "Defined-By", "Support", "Documentation")
# What is known from the start; the format only once the image is open, and before the descriptor is read its name alone.
ALWAYS = {"RAWVIEW_IMAGE", "RAWVIEW_MOUNTPOINT"}
FIELDS = {"READY": ALWAYS | {"RAWVIEW_FORMAT"}, "DESCRIPTOR": {"RAWVIEW_INSTANCE"}}
TEXT_MIN = 100


def check_entry(name, entry):
    head, _, text = entry.partition("\n\n")
    headers = dict(line.split(": ", 1) for line in head.split("\n") if ": " in line)
    for h in HEADERS:
        if not headers.get(h):
            yield f"{name}: no {h}:"
    if headers.get("Defined-By", "rawview") != "rawview":
        yield f"{name}: defined by {headers['Defined-By']}"
    if len(text) < TEXT_MIN:
        yield f"{name}: explains nothing"
    for field in sorted(set(re.findall(r"@(\w+)@", entry)) - FIELDS.get(name, ALWAYS)):
        yield f"{name}: not every such message has {field}"


def check(root):
    defined = DEFINED.findall(tree.read(root, IDS))
    if not defined:
        return [f"{IDS}: no IDs that catalog.py can read"]
    names = {i: n for n, i in defined}
    parts = tree.read(root, CATALOG).split("\n-- ")[1:]
    entries = [(p.split("\n", 1)[0], p.split("\n", 1)[1]) for p in parts]
    complaints = [f"{IDS}: {n}: '{i}' is no ID" for n, i in defined if not re.fullmatch("[0-9a-f]{32}", i)]
    for place, ids in (IDS, [i for _, i in defined]), (CATALOG, [i for i, _ in entries]):
        complaints += [f"{place}: {i} is there {c} times" for i, c in collections.Counter(ids).items() if c > 1]
    known = {i for i, _ in entries}
    complaints += [f"{CATALOG}: says nothing of {n} ({i})" for n, i in defined if i not in known]
    complaints += [f"{CATALOG}: explains {i}, which {IDS} does not know" for i in sorted(known - set(names))]
    for i, entry in entries:
        complaints += [f"{CATALOG}: {c}" for c in check_entry(names.get(i, i), entry)]
    return complaints


def self_test():
    ids = {name: f"{n:032x}" for n, name in enumerate(("READY", "FAILED", "GONE"))}
    header = "".join(f'#define EVENT_ID_{n} "{i}"\n' for n, i in ids.items())

    def entry(name, fields="@RAWVIEW_IMAGE@", documentation="Documentation: man:x(1)\n", by="rawview", length=TEXT_MIN):
        return f"\n-- {name}\nSubject: {fields}\nDefined-By: {by}\nSupport: man:x(1)\n{documentation}\n{'x' * length}\n"

    good = entry(ids["READY"], "@RAWVIEW_FORMAT@") + entry(ids["FAILED"]) + entry(ids["GONE"])
    with tree.made_up({IDS: header, CATALOG: good}) as root:
        tree.expect(check(root))
    bad = entry(ids["READY"], by="nobody") + entry(ids["FAILED"], "@RAWVIEW_FORMAT@", "") + entry("f" * 32, length=5) * 2
    with tree.made_up({IDS: header + f'#define EVENT_ID_TWICE "{ids["READY"]}"\n#define EVENT_ID_BAD "x"\n', CATALOG: bad}) as root:
        tree.expect(check(root), "BAD: 'x' is no ID", f"{ids['READY']} is there 2 times", f"{'f' * 32} is there 2 times",
                    "says nothing of GONE", "says nothing of BAD", f"explains {'f' * 32}", "defined by nobody",
                    "FAILED: no Documentation", "FAILED: not every such message has RAWVIEW_FORMAT", "explains nothing",
                    "explains nothing")


if __name__ == "__main__":
    tree.main(check, self_test)
