#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""results.py TESTLOG.json: counts what `meson test` has written down.

First line: passed, failed, skipped. Then one line for each test that failed or was skipped, with its last words, and for
each that has passed and whose last words begin with "in numbers:".
"""
import json
import sys

FAILED = {"FAIL", "TIMEOUT", "ERROR", "UNEXPECTEDPASS", "INTERRUPT"}


def last_words(test):
    lines = [l.strip() for l in (test.get("stdout", "") + "\n" + test.get("stderr", "")).splitlines() if l.strip()]
    return lines[-1][:160] if lines else ""


def main(path):
    count, notes = {"passed": 0, "failed": 0, "skipped": 0}, []
    try:
        with open(path, encoding="utf-8") as f:
            tests = [json.loads(line) for line in f if line.strip()]
    except FileNotFoundError:
        tests = []
    for test in tests:
        result, name = test["result"], test["name"].split(" / ")[-1]
        if result in FAILED:
            count["failed"] += 1
            notes.append(f"failed: {name} ({result.lower()}) {last_words(test)}")
        elif result == "SKIP":
            count["skipped"] += 1
            notes.append(f"skipped: {name}: {last_words(test)}")
        else:
            count["passed"] += 1
            if last_words(test).startswith("in numbers:"):
                notes.append(f"{name}, {last_words(test)}")
    print(*count.values())
    print("\n".join(notes))


main(*sys.argv[1:])
