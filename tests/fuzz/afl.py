#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs AFL++ on the command itself: every input is a file, opened by `rawview info` and `rawview check` behind their sandbox.

    afl.py PROGRAM TELL FOLDER SECONDS

PROGRAM was built with afl-clang-fast and no sanitizer, TELL is afl-tell.c as a library. Each verb gets half of SECONDS and goes
on in FOLDER/VERB. The exit status is 1 when something crashed, hung, or was killed by the sandbox, or when nothing ran.
"""
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import corpus

VERBS = {"info": ["info", "--backing-chain"], "check": ["check"]}
# To begin with; what AFL++ makes of it may be longer.
LEN_MAX = 16 << 10
TIMEOUT_MS = 2000
# It is to run where other work is done, without a core pattern of its own, and to keep quiet.
SETTINGS = {
    "AFL_SKIP_CPUFREQ": "1",
    "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES": "1",
    "AFL_NO_AFFINITY": "1",
    "AFL_NO_UI": "1",
    "AFL_FAST_CAL": "1",
    "AFL_AUTORESUME": "1",
}


def begin(folder):
    """The smallest images of the recipes."""
    for path in corpus.make("qcow2", folder):
        if os.path.getsize(path) > LEN_MAX:
            os.remove(path)


def saved(out, kind):
    folder = os.path.join(out, "default", kind)
    if not os.path.isdir(folder):
        return []
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.startswith("id:")]


def run(program, tell, folder, verb, seconds):
    """Executions, edges, inputs kept, findings."""
    out = os.path.join(folder, verb)
    os.makedirs(out, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="afl-") as seeds, open(out + ".log", "w", encoding="utf-8") as log:
        begin(seeds)
        limits = ["-V", str(seconds), "-t", str(TIMEOUT_MS), "-m", "none"]
        status = subprocess.run(
            ["afl-fuzz", *limits, "-i", seeds, "-o", out, "--", program, *VERBS[verb], "@@"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **SETTINGS, "AFL_PRELOAD": tell},
            check=False,
        ).returncode
    stats = {}
    path = os.path.join(out, "default", "fuzzer_stats")
    if status == 0 and os.path.exists(path):
        with open(path, encoding="utf-8") as lines:
            stats = dict(re.findall(r"^(\w+)\s*: (.*)$", lines.read(), re.M))
    findings = saved(out, "crashes") + saved(out, "hangs")
    for name in findings:
        print(f"afl: {name}")
    executions = int(stats.get("execs_done", 0))
    if executions == 0:
        print(f"afl: {verb} has not run, see {out}.log")
    return executions, int(stats.get("edges_found", 0)), int(stats.get("corpus_count", 0)), len(findings)


def main():
    if len(sys.argv) != 5 or not sys.argv[4].isdigit():
        sys.exit(__doc__)
    program, tell, folder = (os.path.abspath(path) for path in sys.argv[1:4])
    seconds = max(1, int(sys.argv[4]) // len(VERBS))
    lines = []
    for verb in VERBS:
        print(f"afl: rawview {verb}, {seconds} s", flush=True)
        lines.append((verb, *run(program, tell, folder, verb, seconds)))
    print(f"{'verb':<12} {'executions':>12} {'edges':>8} {'corpus':>8} {'findings':>9}")
    for line in lines:
        print("{:<12} {:>12} {:>8} {:>8} {:>9}".format(*line))
    sys.exit(1 if any(line[1] == 0 or line[-1] > 0 for line in lines) else 0)


if __name__ == "__main__":
    main()
